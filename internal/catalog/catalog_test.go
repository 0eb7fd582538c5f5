package catalog

import (
	"context"
	"strings"
	"testing"

	"github.com/batholith/batholith"
)

// elsewhere is a backend with a protocol of its own.
type elsewhere struct {
	nowhere
	protocol string
}

func (e elsewhere) Protocol() string { return e.protocol }

// nowhere is a backend that is never asked.
type nowhere struct{}

func (nowhere) Do(context.Context, batholith.Call) ([]byte, error) { return nil, context.Canceled }
func (nowhere) Probe(context.Context) error                        { return context.Canceled }
func (nowhere) Gauges(context.Context) (batholith.Gauges, bool)    { return batholith.Gauges{}, false }
func (nowhere) Slots(context.Context) (int, bool)                  { return 0, false }
func (nowhere) MaxInFlight() int                                   { return 0 }
func (nowhere) ModelName() string                                  { return "m" }
func (nowhere) Protocol() string                                   { return "openai" }
func (nowhere) String() string                                     { return "nowhere" }

func entry(id string, aliases ...string) Entry {
	return Entry{Model: batholith.Model{ID: id, Aliases: aliases}, Backends: []Backend{nowhere{}}}
}

func TestAModelIsFoundByEveryNameItHas(t *testing.T) {
	const haiku = "anthropic.claude-3-haiku-20240307-v1:0"
	c, err := New([]Entry{entry(haiku, "haiku"), entry("Qwen/Qwen2.5-7B-Instruct"), entry("eu.meta.llama3-v1:0"), entry("meta.llama3-v1:0"), entry("abc123")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		haiku:         haiku,
		"haiku":       haiku,
		"us." + haiku: haiku,
		"arn:aws:bedrock:us-east-1::foundation-model/" + haiku:                       haiku,
		"arn:aws:bedrock:us-east-1:000000000000:inference-profile/global." + haiku:   haiku,
		"arn:aws:bedrock:us-east-1:000000000000:custom-model/" + haiku + "/abc123":   "abc123",
		"arn:aws:bedrock:us-east-1:000000000000:application-inference-profile/haiku": haiku,
		"Qwen/Qwen2.5-7B-Instruct": "Qwen/Qwen2.5-7B-Instruct",
		"eu.meta.llama3-v1:0":      "eu.meta.llama3-v1:0",
		"us.meta.llama3-v1:0":      "meta.llama3-v1:0",
	} {
		m, ok := c.Lookup(name)
		if !ok || m.ID != want {
			t.Errorf("Lookup(%q) = %q, %v, want %q", name, m.ID, ok, want)
		}
		if s, ok := c.Serving(name); !ok || s.Model.ID != want {
			t.Errorf("Serving(%q) = %q, %v, want %q", name, s.Model.ID, ok, want)
		}
	}
	for _, name := range []string{"", "nobody", "arn:aws:bedrock:us-east-1::foundation-model/", "us."} {
		if m, ok := c.Lookup(name); ok {
			t.Errorf("Lookup(%q) found %q", name, m.ID)
		}
	}
}

func TestAConfigurationThatCannotBeServedIsRefused(t *testing.T) {
	for want, entries := range map[string][]Entry{
		"set family: anthropic": {entry("stability.sd3-large-v1:0")},
		"a backend is required": {{Model: batholith.Model{ID: "m"}}},
		"is that of the model":  {entry("m"), entry("n", "m")},
		"an id is required":     {entry("")},
		`protocol "carrier"`:    {{Model: batholith.Model{ID: "m"}, Backends: []Backend{nowhere{}, elsewhere{protocol: "carrier"}}}},
	} {
		if _, err := New(entries, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestMembersMissingInTheSettingsComeFromTheID(t *testing.T) {
	c, err := New([]Entry{entry("anthropic.claude-3-haiku-20240307-v1:0"), entry("amazon.titan-embed-text-v2:0"), entry("Qwen/Qwen2.5-7B-Instruct"), entry("-")}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range c.Models() {
		got = append(got, strings.Join([]string{m.Provider, m.Name, m.Family, strings.Join(m.Inputs, "+"), strings.Join(m.Outputs, "+")}, "|"))
	}
	for i, want := range []string{
		"Anthropic|Claude 3 Haiku|anthropic|TEXT+IMAGE|TEXT",
		"Amazon|Titan Embed Text|titan-embed|TEXT|EMBEDDING",
		"Qwen|Qwen2.5 7B Instruct|any|TEXT|TEXT",
	} {
		if got[i] != want {
			t.Errorf("got %s, want %s", got[i], want)
		}
	}
}

func TestTheEmbeddedModelsTakeBothInvocationTypes(t *testing.T) {
	c, err := New(Embedded(nowhere{}, nowhere{}), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{TinyModel, SimulatedModel} {
		s, ok := c.Serving(id)
		if !ok {
			t.Fatalf("%s is not served", id)
		}
		for _, typ := range []batholith.InvocationType{batholith.InvokeModel, batholith.Converse} {
			if _, err := s.Bodies(typ); err != nil {
				t.Errorf("%s by %s: %v", id, typ, err)
			}
		}
	}
}

// TestTheCatalogueSaysWhatAModelCanDo: models that make embeddings take no conversations and stream nothing; others do both, if the service
// passes streams on.
func TestTheCatalogueSaysWhatAModelCanDo(t *testing.T) {
	for _, streaming := range []bool{true, false} {
		c, err := New([]Entry{entry("amazon.titan-embed-text-v2:0"), entry("anthropic.claude-3-haiku-20240307-v1:0"), entry("m")}, Options{Streaming: streaming})
		if err != nil {
			t.Fatal(err)
		}
		for i, m := range c.Models() {
			if embeds := i == 0; m.Streams != (streaming && !embeds) || (c.Takes(m.ID, batholith.Converse) != nil) != embeds || c.Takes(m.ID, batholith.InvokeModel) != nil {
				t.Errorf("%s: streams %v (wanted at all: %v), Converse: %v", m.ID, m.Streams, streaming, c.Takes(m.ID, batholith.Converse))
			}
		}
	}
}

// TestNamesAndDatesOfModelsAreRead: from ids of any form, names of at most 20 characters and the date of the release.
func TestNamesAndDatesOfModelsAreRead(t *testing.T) {
	for id, want := range map[string]string{
		"anthropic.claude-3-5-sonnet-20241022-v2:0":            "Claude 3 5 Sonnet 2024-10-22",
		"meta.llama4-maverick-17b-instruct-with-a-name-v1:0":   "Llama4 Maverick 17b 0001-01-01",
		"amazon.titan-text-premier-v1:0:32k":                   "Titan Text Premier 0001-01-01",
		"team.averyveryveryverylongnamewithoutaspace-20240230": "Team.averyveryveryve 0001-01-01",
		"m":                            "M 0001-01-01",
		"-":                            "- 0001-01-01",
		"openai.gpt-oss-120b-1:0":      "Gpt Oss 120b 1 0001-01-01",
		"us.amazon.nova-lite-v1:0":     "Nova Lite 0001-01-01",
		"Qwen/Qwen2.5-VL-72B-Instruct": "Qwen2.5 VL 72B 0001-01-01",
	} {
		m := describe(batholith.Model{ID: id})
		if got := m.Name + " " + m.Released.Format("2006-01-02"); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
	}
}

// seer is a backend that has said whether its model sees images.
type seer struct {
	nowhere
	images batholith.Ability
}

func (s seer) Known() batholith.Abilities { return batholith.Abilities{Images: s.images} }

// TestTheInputsOfAModelAreThoseThatItsServersSay: of a text model that sees images after all, and of a family with images whose model sees
// none. The settings count before a server's word.
func TestTheInputsOfAModelAreThoseThatItsServersSay(t *testing.T) {
	for name, c := range map[string]struct {
		id     string
		set    batholith.Ability
		inputs []string
		say    []batholith.Ability
		want   string
	}{
		"nothing said":           {id: "m", say: []batholith.Ability{0}, want: "TEXT"},
		"one sees":               {id: "m", say: []batholith.Ability{batholith.Unable, batholith.Able, 0}, want: "TEXT+IMAGE"},
		"blind":                  {id: "amazon.nova-lite-v1:0", say: []batholith.Ability{0, batholith.Unable}, want: "TEXT"},
		"the family":             {id: "amazon.nova-lite-v1:0", say: []batholith.Ability{0}, want: "TEXT+IMAGE"},
		"the settings":           {id: "m", set: batholith.Able, inputs: []string{"TEXT", "IMAGE"}, say: []batholith.Ability{batholith.Unable}, want: "TEXT+IMAGE"},
		"embeddings of texts":    {id: "amazon.titan-embed-text-v2:0", say: []batholith.Ability{batholith.Able}, want: "TEXT"},
		"embeddings of pictures": {id: "amazon.titan-embed-image-v1", say: []batholith.Ability{0}, want: "TEXT+IMAGE"},
	} {
		e := Entry{Model: batholith.Model{ID: c.id, Inputs: c.inputs, Set: batholith.Abilities{Images: c.set}}}
		for _, s := range c.say {
			e.Backends = append(e.Backends, seer{images: s})
		}
		all, err := New([]Entry{e}, Options{})
		if err != nil {
			t.Fatal(err)
		}
		one, _ := all.Lookup(c.id)
		if got := strings.Join(one.Inputs, "+"); got != c.want || strings.Join(all.Models()[0].Inputs, "+") != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}
