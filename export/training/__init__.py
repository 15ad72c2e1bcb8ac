"""What `export/train.py` trains with: recipes, losses, networks that grow, several processes."""
