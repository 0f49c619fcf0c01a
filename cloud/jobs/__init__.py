"""What runs on a Spark cluster: back-fill and near-real-time figures, thin shells around the shared SQL."""
