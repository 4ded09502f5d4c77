"""The gateway, `sense serve`: answers questions about databases with SQL that has been executed."""
