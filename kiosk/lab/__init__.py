"""THE LABORATORY, not in service: kiosks, clients and backends that are tried.

`demo` plays a visit, `conformance` examines other ConvAI clients, `simulation` loads a backend; in
`virtual_loop` a kiosk lives in virtual time.
"""
