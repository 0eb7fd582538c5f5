package batholith

import "slices"

// Source says where an answer came from and what the model server was not told. It goes to the manifest, and to the output line where the
// settings want that. A Source is not changed once it was made, so outcomes may share one.
type Source struct {
	Backend string // the model server, as messages name it: its host and port
	Model   string // the name that the answer gives itself, which a router or an alias may have chosen; "" when it gives none
	Changes Changes
}

// Changes are the members of a modelInput that did not reach the model server as they are. The names come from the tables of package
// dialect, never from a user: "metadata", "messages.content.cache_control". Each stands once.
type Changes struct {
	Dropped []string // the server was not told
	Mapped  []string // the server got something that means nearly the same
}

// Drop notes a member that the server is not told.
func (c *Changes) Drop(name string) { c.Dropped = noted(c.Dropped, name) }

// Map notes a member for which the server gets something that means nearly, but not quite, the same.
func (c *Changes) Map(name string) { c.Mapped = noted(c.Mapped, name) }

func noted(names []string, name string) []string {
	if slices.Contains(names, name) {
		return names
	}
	return append(names, name)
}

// Equal tells whether two sources say the same.
func (s *Source) Equal(t *Source) bool {
	if s == nil || t == nil {
		return s == t
	}
	return s.Backend == t.Backend && s.Model == t.Model && slices.Equal(s.Changes.Dropped, t.Changes.Dropped) && slices.Equal(s.Changes.Mapped, t.Changes.Mapped)
}

// ManifestSource counts the answers of one model server under one name.
type ManifestSource struct {
	Backend string `json:"backend"`
	Model   string `json:"model"`
	Records int64  `json:"recordCount"`
}

// ManifestChanges counts, by the name of the member, the answers for which a member was dropped or mapped.
type ManifestChanges struct {
	Dropped map[string]int64 `json:"dropped,omitempty"`
	Mapped  map[string]int64 `json:"mapped,omitempty"`
}

// ManySources is how many servers and names a manifest tells apart. A server may call itself otherwise in each answer; what is beyond the
// first is counted together, under [OtherSources].
const ManySources = 100

// OtherSources is the name, of server and model, under which a manifest counts what is beyond [ManySources].
const OtherSources = "(others)"

// Sources sums where the answers of a job came from. It is a function of the outcomes in the order of the output.
type Sources struct {
	of      []ManifestSource
	at      map[[2]string]int
	changes ManifestChanges
}

// Note adds the source of one answer; nil when it is not known.
func (s *Sources) Note(from *Source) {
	if from == nil {
		return
	}
	key := [2]string{from.Backend, from.Model}
	i, known := s.at[key]
	if !known && len(s.of) >= ManySources {
		key = [2]string{OtherSources, OtherSources}
		i, known = s.at[key]
	}
	if !known {
		if s.at == nil {
			s.at = map[[2]string]int{}
		}
		i = len(s.of)
		s.of, s.at[key] = append(s.of, ManifestSource{Backend: key[0], Model: key[1]}), i
	}
	s.of[i].Records++
	s.changes.Dropped = tally(s.changes.Dropped, from.Changes.Dropped)
	s.changes.Mapped = tally(s.changes.Mapped, from.Changes.Mapped)
}

func tally(counts map[string]int64, names []string) map[string]int64 {
	for _, name := range names {
		if counts == nil {
			counts = map[string]int64{}
		}
		counts[name]++
	}
	return counts
}

// Tell writes the sums into a manifest.
func (s *Sources) Tell(m *Manifest) {
	m.Batholith.Sources, m.Batholith.Changes = append([]ManifestSource{}, s.of...), s.changes
}
