"""Teaching: the loop, its optimizer, and a run's folder."""
