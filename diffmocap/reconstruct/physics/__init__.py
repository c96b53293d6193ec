"""Physics for whole motions: any motion file refined, and refined motions simulated."""
