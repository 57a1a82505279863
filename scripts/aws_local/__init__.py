"""A local AWS: moto with additions, and a deterministic seeder that fills it with an organization."""
