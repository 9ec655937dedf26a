"""Damaged and forged files of every kind that flowssl reads: what becomes of them."""
