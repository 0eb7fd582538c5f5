package limittest

// request is one request, of ours or of others.
type request struct {
	id       int
	ours     bool
	from     *sender // nil: of others
	prompt   int
	output   int
	failures int // how often it fails yet
	replica  *replica
	finish   int  // step after which it is answered
	fails    bool // it ends with a failure then, half-way
	waiting  bool
}

// replica is one engine with continuous batching: each step gives every running request a token, and reads prompts of those that come.
type replica struct {
	w        *world
	sick     SickKind
	waiting  []*request // in the order of arrival; those that gave up have waiting == false
	waits    int
	tokens   int // of prompts that wait
	running  queue[*request]
	step     int
	stepping bool
}

func newReplica(w *world) *replica {
	return &replica{w: w, running: queue[*request]{less: func(a, b **request) bool { return (*a).finish < (*b).finish }}}
}

func (r *replica) held() int { return r.waits + len(r.running.all) }

// full tells whether one more request is refused by a bound.
func (r *replica) full(q *request) bool {
	p := &r.w.p
	return p.MaxWaiting > 0 && r.waits >= p.MaxWaiting ||
		p.MaxHeld > 0 && r.held() >= p.MaxHeld ||
		p.MaxTokens > 0 && r.tokens+q.prompt > p.MaxTokens
}

// arrive takes a request, or refuses it.
func (r *replica) arrive(q *request) {
	w := r.w
	switch {
	case r.sick == Refuses && q.ours:
		w.reply(q, refused, 0)
		return
	case r.sick == Fails && q.ours:
		w.reply(q, failed, 0)
		return
	case r.full(q):
		w.reply(q, refused, w.p.Late.Nanoseconds())
		return
	}
	if q.ours {
		w.requests++
		w.tokens += q.prompt + q.output
	}
	q.replica, q.waiting, q.fails = r, true, q.failures > 0
	r.waiting = append(r.waiting, q)
	r.waits++
	r.tokens += q.prompt
	if w.p.Patience > 0 {
		w.at(w.now+w.p.Patience.Nanoseconds(), event{kind: gaveUp, request: q})
	}
	if !r.stepping {
		r.begin()
	}
}

// begin begins a step, if there is anything to do.
func (r *replica) begin() {
	p, read := &r.w.p, 0
	for len(r.waiting) > 0 {
		q := r.waiting[0]
		if q.waiting {
			if len(r.running.all) >= r.w.slots() || read > 0 && read+q.prompt > p.Budget {
				break
			}
			r.leave(q)
			read += q.prompt
			q.finish = r.step + q.output
			if q.fails {
				q.finish = r.step + (q.output+1)/2
			}
			r.running.push(q)
		}
		r.waiting = r.waiting[1:]
	}
	n := len(r.running.all)
	if r.stepping = n > 0; !r.stepping {
		return
	}
	seconds := p.step(n) + float64(read)*p.Prefill.Seconds()
	if r.sick == TenTimes {
		seconds *= 10
	}
	r.w.at(r.w.now+int64(seconds*1e9), event{kind: stepped, replica: r})
}

// leave takes a request out of the queue.
func (r *replica) leave(q *request) {
	q.waiting = false
	r.waits--
	r.tokens -= q.prompt
}

// end ends a step.
func (r *replica) end() {
	r.step++
	for len(r.running.all) > 0 && r.running.all[0].finish <= r.step {
		q := r.running.pop()
		how := answered
		if q.fails {
			q.failures--
			how = failed
		}
		r.w.reply(q, how, 0)
	}
	r.begin()
}
