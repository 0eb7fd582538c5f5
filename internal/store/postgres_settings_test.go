package store

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/batholith/batholith/internal/pgtest"
)

// A history leaves the same rows whatever settings its database gives to sessions, and they read the same after the settings are gone.
func TestSettingsOfADatabaseChangeNoMeaning(t *testing.T) {
	cluster := pgtest.Shared(t)
	history := func(t *testing.T, name string, settings ...string) string {
		address := cluster.URL(name)
		for _, s := range settings {
			cluster.Exec(t, "ALTER DATABASE "+name+" SET "+s)
		}
		s := openPG(t, address, PostgresOptions{})
		for _, c := range life() {
			if err := c.do(t.Context(), s); err != nil {
				t.Fatalf("%s: %v", c.name, err)
			}
		}
		odd := job(7)
		odd.Request.Input.URI = "s3://in/größe-Ω-日本/"
		_, err := s.CreateJob(t.Context(), odd, "hash", 0)
		must(err)
		must(s.Note(t.Context(), odd.ID, "Ω 日本 'ü' \\"))
		must(s.Close())
		cluster.Exec(t, "ALTER DATABASE "+name+" RESET ALL")
		s = openPG(t, address, PostgresOptions{})
		return essence(t, s) + text(t, s.reader, `SELECT request FROM jobs WHERE id = '`+odd.ID+`'`)
	}
	create := func(name, options string) {
		cluster.Exec(t, "CREATE DATABASE "+name+options)
		t.Cleanup(func() { cluster.Exec(t, "DROP DATABASE "+name+" WITH (FORCE)") })
	}
	create("settings_none", "")
	want := history(t, "settings_none")
	t.Run("settings", func(t *testing.T) {
		create("settings_all", "")
		got := history(t, "settings_all",
			"client_encoding = 'LATIN1'", "standard_conforming_strings = off", "bytea_output = 'escape'", "datestyle = 'German'", "timezone = 'Asia/Kathmandu'",
			"array_nulls = off", "extra_float_digits = -15", "transform_null_equals = on", "quote_all_identifiers = on",
			"enable_indexscan = off", "enable_nestloop = off", "plan_cache_mode = 'force_generic_plan'", "jit = on",
			"statement_timeout = 1", "lock_timeout = 1", "idle_in_transaction_session_timeout = 1",
			"default_transaction_isolation = 'serializable'", "default_transaction_deferrable = on", "client_min_messages = 'debug5'")
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	})
	t.Run("no encoding", func(t *testing.T) {
		create("settings_ascii", " ENCODING 'SQL_ASCII' TEMPLATE template0")
		if d := cmp.Diff(want, history(t, "settings_ascii")); d != "" {
			t.Error(d)
		}
	})
}
