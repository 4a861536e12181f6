"""Observers: what a run tells becomes figures for a report, for Prometheus, for OpenTelemetry or for a log."""
