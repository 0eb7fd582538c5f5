// Package telemetry makes the metrics of a process, in Prometheus' format.
//
// Counters and histograms grow with the events of the process (batholith.Listener and the observers of the other parts). Gauges are read at
// a scrape and cost nothing between scrapes. A scrape takes the locks of the engine one after the other, each for a moment, and waits at most
// censusTime for the database, so that it answers also while the database is away.
//
// Names: batholith_service_… is of the whole service, and the same at every process of a database: take max by its labels. Everything else is
// of one process: take sum. Metrics that OpenTelemetry's conventions for generative AI define have their names (gen_ai_…), and so have labels.
//
// Labels have few values: models and backends of the settings, statuses, kinds. No job, principal, account or bucket is a label.
//
// The package must not know how metrics are served, nor the settings.
package telemetry
