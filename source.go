package batholith

import (
	"slices"
	"strings"
)

// Source describes the origin of an answer, and which members of the record the model server did not get
// unchanged. It is written to the manifest and, if the settings ask for it, to the output line. A Source is
// immutable, so outcomes may share one.
type Source struct {
	Backend string // host and port of the model server; the ARN of the earlier job whose answer was taken
	Model   string // model name in the answer, which a router or an alias may have chosen; "" if it has none
	Recipe  string // hash of the settings that shaped request and answer, see [Serving]; "": not known
	Changes Changes
}

// Changes lists the members of a modelInput that were not sent to the model server unchanged. The names come
// from the tables of package dialect, never from a user: "metadata", "messages.content.cache_control". Each
// name occurs once.
type Changes struct {
	Dropped []string // not sent
	Mapped  []string // sent as something with nearly the same meaning
}

// Drop records a member that is not sent to the server.
func (c *Changes) Drop(name string) { c.Dropped = noted(c.Dropped, name) }

// Map records a member that is sent as something with nearly the same meaning.
func (c *Changes) Map(name string) { c.Mapped = noted(c.Mapped, name) }

// noted appends name unless names has it already.
func noted(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// Equal reports whether two sources have the same content. Either may be nil.
func (s *Source) Equal(t *Source) bool {
	if s == nil || t == nil {
		return s == t
	}
	return s.Backend == t.Backend && s.Model == t.Model && s.Recipe == t.Recipe && slices.Equal(s.Changes.Dropped, t.Changes.Dropped) && slices.Equal(s.Changes.Mapped, t.Changes.Mapped)
}

// ManifestSource counts the answers of one model server under one model name and one recipe.
type ManifestSource struct {
	Backend string `json:"backend"`
	Model   string `json:"model"`
	Recipe  string `json:"recipe,omitempty"`
	Records int64  `json:"recordCount"`
}

// ManifestReuse counts the answers that were taken from one earlier job.
type ManifestReuse struct {
	JobARN  string `json:"jobArn"`
	Records int64  `json:"recordCount"`
	Input   int64  `json:"inputTokenCount"` // that the answers tell. They were counted by the earlier job, and no other counter includes them
	Output  int64  `json:"outputTokenCount"`
}

// ManifestChanges counts, for each member name, the answers for which the member was dropped or mapped.
type ManifestChanges struct {
	Dropped map[string]int64 `json:"dropped,omitempty"`
	Mapped  map[string]int64 `json:"mapped,omitempty"`
}

// ManySources is the maximum number of combinations of server, model name and recipe that a manifest lists. A server
// might return another name in each answer. Answers of further ones are counted together under [OtherSources].
const ManySources = 100

// OtherSources is the server and model name under which a manifest counts the combinations beyond [ManySources].
const OtherSources = "(others)"

// Sources sums the origins of a job's answers. The result depends only on the outcomes in output order. The
// zero value is ready to use.
type Sources struct {
	of      []ManifestSource  // in order of first use
	at      map[[3]string]int // index in of, by backend, model and recipe
	changes ManifestChanges
	saved   map[string]Tokens // of answers of earlier jobs, by job
}

// Taken reports whether an answer was taken from an earlier job.
func (s *Source) Taken() bool { return s != nil && strings.HasPrefix(s.Backend, "arn:") }

// Save adds the tokens of an answer that was taken from an earlier job.
func (s *Sources) Save(from *Source, t Tokens) {
	if s.saved == nil {
		s.saved = map[string]Tokens{}
	}
	s.saved[from.Backend] = s.saved[from.Backend].Add(t)
}

// Note adds the source of one answer. nil, an unknown source, is ignored.
func (s *Sources) Note(from *Source) {
	if from == nil {
		return
	}
	key := [3]string{from.Backend, from.Model, from.Recipe}
	i, known := s.at[key]
	if !known && len(s.of) >= ManySources {
		key = [3]string{OtherSources, OtherSources}
		i, known = s.at[key]
	}
	if !known {
		if s.at == nil {
			s.at = map[[3]string]int{}
		}
		i = len(s.of)
		s.of, s.at[key] = append(s.of, ManifestSource{Backend: key[0], Model: key[1], Recipe: key[2]}), i
	}
	s.of[i].Records++
	s.changes.Dropped = tally(s.changes.Dropped, from.Changes.Dropped)
	s.changes.Mapped = tally(s.changes.Mapped, from.Changes.Mapped)
}

// tally adds 1 to the count of each name. It allocates the map when it is needed.
func tally(counts map[string]int64, names []string) map[string]int64 {
	for _, name := range names {
		if counts == nil {
			counts = map[string]int64{}
		}
		counts[name]++
	}
	return counts
}

// Tell writes the sums into manifest m.
func (s *Sources) Tell(m *Manifest) {
	m.Batholith.Sources, m.Batholith.Changes = append([]ManifestSource{}, s.of...), s.changes
	m.Batholith.ReusedFrom = s.reused()
}

// reused returns how many answers were taken from which earlier jobs, in order of first use.
func (s *Sources) reused() (from []ManifestReuse) {
	at := map[string]int{}
	for _, of := range s.of {
		if !strings.HasPrefix(of.Backend, "arn:") {
			continue
		}
		i, ok := at[of.Backend]
		if !ok {
			i = len(from)
			t := s.saved[of.Backend]
			from, at[of.Backend] = append(from, ManifestReuse{JobARN: of.Backend, Input: t.Input, Output: t.Output}), i
		}
		from[i].Records += of.Records
	}
	return from
}
