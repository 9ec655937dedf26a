"""How flowssl takes files that are damaged or forged."""
