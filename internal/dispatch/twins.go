package dispatch

import (
	"crypto/sha256"

	"github.com/batholith/batholith"
)

// keptAnswers bounds the answers kept for later twins, over all jobs of a queue, in bytes.
const keptAnswers = 8 << 20

// digest is the SHA-256 of a job's id and a modelInput.
type digest [sha256.Size]byte

func digestOf(job string, input []byte) digest {
	h := sha256.New()
	h.Write([]byte(job))
	h.Write([]byte{0})
	h.Write(input)
	return digest(h.Sum(nil))
}

// twins finds records of a job with the same modelInput, byte for byte, whose answer does not vary (prompt.Fixed). One of them is sent; the
// others get its answer. If it ends with an error, the next one is sent on its own.
type twins struct {
	asked map[digest]*item // the record that is sent, while it is ready, waiting or in flight
}

// join adds a record to its twin that is being asked already. If there is none, the record itself becomes that one, and join returns false.
// The caller holds queue.mu.
func (t *twins) join(it *item) (joined bool) {
	if first := t.asked[it.same]; first != nil {
		first.twins = append(first.twins, it)
		return true
	}
	if t.asked == nil {
		t.asked = map[digest]*item{}
	}
	t.asked[it.same] = it
	return false
}

// leave removes a record that has its outcome, and returns its twins.
func (t *twins) leave(it *item) []*item {
	others := it.twins
	it.twins = nil
	if t.asked[it.same] == it {
		delete(t.asked, it.same)
	}
	return others
}

// answers keeps answers for twins that are read later, up to keptAnswers bytes. The oldest are dropped first.
type answers struct {
	known map[digest]batholith.Answer
	order []digest
	bytes int
}

// put keeps an answer, unless it is larger than an eighth of the bound.
func (a *answers) put(d digest, answer batholith.Answer) {
	if _, ok := a.known[d]; ok || len(answer.Output) > keptAnswers/8 {
		return
	}
	if a.known == nil {
		a.known = map[digest]batholith.Answer{}
	}
	a.known[d] = answer
	a.order = append(a.order, d)
	for a.bytes += cost(answer); a.bytes > keptAnswers; a.order = a.order[1:] {
		a.bytes -= cost(a.known[a.order[0]])
		delete(a.known, a.order[0])
	}
}

// cost estimates the memory of a kept answer, in bytes.
func cost(a batholith.Answer) int { return len(a.Output) + 128 }

// sort divides the records of a chunk into those to send and those whose answer is known. It leaves out those that joined a twin. The
// caller holds queue.mu.
func (f *feed) sort(items []*item) (ask, known []*item) {
	if !f.d.tuned().Reuse {
		return items, nil
	}
	for _, it := range items {
		if !it.prompt.Fixed {
			ask = append(ask, it)
			continue
		}
		it.same = digestOf(f.job.ID, it.input)
		if _, ok := f.queue.answers.known[it.same]; ok {
			known = append(known, it)
		} else if !f.twins.join(it) {
			ask = append(ask, it)
		}
	}
	return ask, known
}

// share answers the twins of an answered record. If the record failed, the first of its twins is sent instead.
func (f *feed) share(it *item, a batholith.Answer, failed bool) {
	if !f.d.tuned().Reuse || !it.prompt.Fixed {
		return
	}
	q := f.queue
	q.mu.Lock()
	if it.over() { // the twins were dropped with their chunks
		q.mu.Unlock()
		return
	}
	others := f.twins.leave(it)
	if !failed {
		q.answers.put(it.same, a)
		f.flying += len(others)
	} else if len(others) > 0 {
		others[0].twins = others[1:]
		f.twins.join(others[0])
		f.ready.back(others[0]) // twins name no objects, so it need not be staged
		q.wake()
		others = nil
	}
	q.mu.Unlock()
	for _, twin := range others {
		f.repeat(twin, a)
	}
}

// repeat concludes a record in flight with the answer of its twin. It counts no tokens, since nothing was sent.
func (f *feed) repeat(it *item, a batholith.Answer) {
	a.Tokens = batholith.Tokens{}
	if !f.begin(f.d.send) || f.d.add(f.outcome(it, batholith.OutcomeAnswer, a, nil)) != nil {
		f.drop(it)
		return
	}
	f.concludes(it, batholith.Tokens{}, true)
}
