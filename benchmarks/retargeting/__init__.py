"""Motions of films on every robot that ships, and streams that no person makes."""
