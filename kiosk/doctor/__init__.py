"""THE DOCTOR: what is wrong with a kiosk, check by check, each with its next step.

It disturbs nobody: what a running kiosk holds is asked of it, and opened only where none runs.
"""
