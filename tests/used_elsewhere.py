"""Names that nothing in the package uses, for vulture; each group says who does."""
# ruff: noqa: B018, F821

# TFX and TFMA find them by their names, or by the path of their module.
_.SPEC_CLASS
_.EXECUTOR_SPEC
_.TYPE_NAME
_.custom_extractors
_.preprocessing_fn
_.run_fn
_.FnArgs  # a type that is written as text, since to import it takes seconds

# expat calls them.
_.StartElementHandler
_.EndElementHandler
_.StartDoctypeDeclHandler
_.buffer_text

# `processes.train_together` finds it by its name.
_.fit_with_others

# `runners.probe` sends it to workers by its name.
_.Deal

# Methods that Beam, Keras and keras-tuner call.
_.expand
_.create_accumulator
_.add_input
_.merge_accumulators
_.extract_output
_.setup
_.start_bundle
_.finish_bundle
_.teardown
_.start_bundle
_.finish_bundle
_.on_train_begin
_.on_epoch_begin
_.run_trial

# Of a file, and of a file system: Python, Beam and TFX call them, with these arguments.
_.seekable
_.writable
_.readinto
_.ObjectStore
_.has_dirs
_.last_updated
_.mime_type
_.SUPPORTED_SCHEMES
_.onerror

# Attributes that libraries read: pydicom, Pillow, tf.data, protobuf, kfp's client, pydantic, expat.
_.reading_validation_mode
_.MAX_IMAGE_PIXELS
_.auto_shard_policy
_.enabled
_.apply_default_optimizations
_.connection_mode
_.enable_cache
_.partition_feature_name
_.split_names
_.column_name
_.ssl_ca_cert
_.refresh_api_key_hook
_.model_config
_.StartElementHandler
_.EndElementHandler
_.StartDoctypeDeclHandler

# A tf.Module tracks what hangs on it.
_._tracked
_._variables

# Fields that are read in JSON, or by the page's template.
_.patients_known
_.drawn_together
_.missing
_.scored
_.compared
_.started
_.title
_.by_chance
_.more_values
_.specificity
_.question
_.pipeline_id
_.version_id
_.recurring_run_id

# Keys of the config: nodes read them by name, from the JSON that they are told.
_.bound
_.max_drop
_.max_drop_from_test
_.drop_bound
_.label_shift
_.max_relabelled
_.slice_auc
_.intended_use
_.calibration_error
_.accept_without_baseline
_.min_positives
_.min_negatives
_.servable
_.unjudged
_.cost_of_miss
_.calibrate
_.unlike_share
_.near_identical
_.near_distance
_.shortcut_auc
_.effect
_.factor
_.weight_decay
_.label_smoothing
_.class_weights
_.xla

# For who reads our tables in Python: docs/how-to/serving.md shows how.
_.read_table
