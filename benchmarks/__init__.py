"""What a call costs, beside what it costs elsewhere: `make bench`.

Nothing here is part of the product. Every subject, ours included, runs in a process of its own that is told
by lines of JSON what to run. `catalogue` lists the subjects, `marks` what is asked of us.
"""
