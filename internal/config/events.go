package config

import (
	"cmp"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"time"

	"github.com/batholith/batholith"
	"github.com/batholith/batholith/internal/events"
	"github.com/batholith/batholith/internal/words"
)

// The defaults of a receiver of events.
const (
	eventTimeout = 10 * time.Second
	eventMaxAge  = 72 * time.Hour
)

// completeEvents fills in the defaults of receivers, and reads their secrets.
func (l *loader) completeEvents() {
	for i := range l.config.Events {
		e := &l.config.Events[i]
		e.Name = cmp.Or(e.Name, e.URL)
		e.Format = cmp.Or(e.Format, string(events.EventBridge))
		e.Timeout, e.MaxAge = cmp.Or(e.Timeout, eventTimeout), cmp.Or(e.MaxAge, eventMaxAge)
		e.Secret = l.env[e.SecretEnv]
		for name, variable := range e.HeadersEnv {
			if e.Header == nil {
				e.Header = map[string]string{}
			}
			e.Header[name] = l.env[variable]
		}
	}
}

// checkEvents checks the receivers of events.
func (l *loader) checkEvents() {
	taken := names{l: l}
	for i, e := range l.config.Events {
		at := fmt.Sprintf("events[%d]", i)
		l.web(at+".url", e.URL)
		if e.Name == e.URL {
			taken.take(at+".url", e.Name)
		} else {
			taken.take(at+".name", e.Name)
		}
		l.oneOf(at+".format", e.Format, string(events.EventBridge), string(events.CloudEvents))
		for j, s := range e.Statuses {
			l.status(fmt.Sprintf("%s.statuses[%d]", at, j), s)
		}
		l.secretNamed(at+".secret_env", e.SecretEnv)
		if e.Secret != "" {
			if err := events.CheckSecret(e.Secret); err != nil {
				l.bad(at+".secret_env", "make one with: echo whsec_$(head -c 32 /dev/urandom | base64)", "the secret in %s cannot be used: %v", e.SecretEnv, err)
			}
		}
		for _, header := range slices.Sorted(maps.Keys(e.HeadersEnv)) {
			path := join(at+".headers_env", header)
			l.headerName(path, header)
			if slices.Contains([]string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature"}, http.CanonicalHeaderKey(header)) {
				l.bad(path, "remove it", "the header %s is set by each request itself", header)
			}
			l.required(path, e.HeadersEnv[header])
			l.secretNamed(path, e.HeadersEnv[header])
		}
		if e.CAFile != "" {
			l.authorities(at+".ca_file", e.CAFile)
		}
		if e.Timeout < 0 || e.MaxAge < 0 {
			l.bad(at, "write durations such as timeout: 10s and max_age: 72h", "a negative duration is not possible")
		}
	}
}

// status checks the name of a status.
func (l *loader) status(path, value string) {
	var all []string
	for _, s := range batholith.Statuses() {
		all = append(all, string(s))
	}
	if !slices.Contains(all, value) {
		l.bad(path, "did you mean "+cmp.Or(words.Closest(value, all), all[0])+"?", "%q is not a status of jobs", value)
	}
}
