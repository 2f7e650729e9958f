"""From a trained model to draws and densities."""
