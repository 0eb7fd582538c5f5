package dispatch

// Drain makes the lanes to the servers for which drained is true take no new requests; their requests in flight finish. All other lanes
// take requests again. It may be called at any time, and holds for backends that a Reload adds.
func (d *Dispatcher) Drain(drained func(Backend) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.drains = drained
	changed := false
	for _, l := range d.lanes {
		if l.drain(drained(l.backend)) {
			changed = true
		}
	}
	if !changed {
		return
	}
	d.news.tell()
	for _, q := range d.queues {
		q.admit()
		q.tell()
		q.wake()
	}
}

// AddressOf is the base URL of a backend's server, which names the server for operators; without one, the backend's name.
func AddressOf(b Backend) string {
	if a, ok := b.(interface{ Address() string }); ok {
		return a.Address()
	}
	return b.String()
}

// drain begins or ends the draining of a lane, and reports whether that is a change.
func (l *lane) drain(on bool) (changed bool) {
	l.mu.Lock()
	changed = l.drained != on
	l.drained = on
	l.mu.Unlock()
	if changed && on {
		if !l.host.reachedBeside(l) {
			l.limit.Dismiss() // calls that wait for a slot look for another server
		}
		l.wakeStandbys()
	}
	if changed {
		l.signal()
		l.wakeUp()
	}
	return changed
}

// drained reports whether all lanes of the queue are drained.
func (q *queue) drained() bool {
	for _, l := range q.lanes() {
		l.mu.Lock()
		on := l.drained
		l.mu.Unlock()
		if !on {
			return false
		}
	}
	return true
}

// halts says why no lane of the queue sends records of a class now: see [lane.halts].
func (q *queue) halts(c *class) string { return halts(q.lanes(), c) }

// halts says why none of the lanes sends now. The state of a server that is not drained is told first: it may end by itself.
func halts(lanes []*lane, c *class) string {
	if len(lanes) == 0 {
		return "the model has no server"
	}
	names := []string(nil)
	for _, l := range lanes {
		l.mu.Lock()
		on := l.drained
		l.mu.Unlock()
		if !on {
			return l.halts(c)
		}
		names = append(names, l.backend.String())
	}
	if len(names) > 1 {
		return "all model servers of the model are drained (an operator resumes one with: batholith backend resume " + names[0] + ")"
	}
	return lanes[0].halts(c)
}
