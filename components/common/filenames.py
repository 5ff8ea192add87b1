"""Names of the files that one room writes and another reads."""

# What Trainer leaves beside TensorBoard's logs.
HISTORY = "history.json"
METRICS = "metrics.json"
OPERATING_POINT = "operating_point.json"
SITE_TRANSFER = "site_transfer.json"
PROBE = "probe.json"
NETWORK = "network.json"
EXPORT_CHECK = "scored.npz"
# What tfxray 0.1.0 called them; its runs are still read.
FORMER = {OPERATING_POINT: "decision.json", SITE_TRANSFER: "transfer.json"}

# Below the served model's folder: the same network in plain Keras layers, for heat maps. By
# TensorFlow's convention, assets.extra holds what its own loaders leave alone.
EXPLAIN = "assets.extra/explain.keras"
# Likewise within a pushed version: its files' checksums and its held-out figures. Evaluator leaves
# the same beside its blessing.
VERSION_RECORD = "assets.extra/version.json"
EVALUATED = "evaluated.json"
# Likewise: what its own run knew of its data and scores, for monitoring; beside the blessing, too.
MONITORING = "assets.extra/monitoring.json"
EVALUATED_MONITORING = "monitoring.json"
# Likewise: the names of the classes in the order of their labels, for a reader that does not load
# the model.
CLASSES = "assets.extra/classes.json"

REJECTS = "rejects.csv"
REJECT_COLUMNS = ("name", "reason", "detail")
INGEST_REPORT = "ingest.json"
PREDICTIONS = "predictions.csv"
PREDICT_REPORT = "predict.json"
SCORED_STATISTICS = "statistics.json"
MONITOR_PAGE = "monitor.html"
CHECKED = "checked-{}.json"  # notes that records of others keep the contract
PARTIAL = ".{}.partial"  # what a folder of records or predictions is called until it is complete
