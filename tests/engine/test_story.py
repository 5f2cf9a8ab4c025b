"""The whole straight line on SQLite: a regression is caught, rolled back, verified, and the incident closes itself."""
