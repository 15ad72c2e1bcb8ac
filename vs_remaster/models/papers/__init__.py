"""The networks of the two papers: DeepRemaster (Iizuka and Simo-Serra, 2019) and RTN (Wan et al., 2022)."""
