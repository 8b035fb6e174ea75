"""What each rule of a circuit makes of an outage: traffic, outages and a fleet, in virtual time.

Nobody waits, and the decisions are those of ``sharedbreaker.circuit.rules``, which generated histories hold
to what the scripts in Redis decide. ``make simulate`` fills in docs/choosing-settings.md.
"""
