"""THE EXAMINATION: a record of what a client does, probes that are played, rules that grade."""
