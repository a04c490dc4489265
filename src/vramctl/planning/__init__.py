"""The plan job: look at the model and the devices, ask a witness, hand records to pure code."""
