"""What a demo offers besides the product: a fault switchboard, a first-run checklist, a market that never closes.

Everything here needs SIMULATED_BROKERS: elsewhere its pages do not exist, and its verbs refuse.
"""
