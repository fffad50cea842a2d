"""Code that goes into a registered model: it runs where neither this package nor Airflow is installed."""
