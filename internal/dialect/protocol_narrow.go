package dialect

import (
	"bytes"
	"slices"

	"github.com/batholith/batholith"
)

// narrow handles the members of OpenAI's requests that another protocol does not have. It drops and
// counts a member that only guides or names something, and refuses any other member.
type narrow struct {
	api     string // the other protocol's name in messages
	changes batholith.Changes
	spare   batholith.Spare
}

// newNarrow returns a narrow that counts on from the changes of a request. It shares no memory with
// them.
func newNarrow(api string, c batholith.Changes) narrow {
	c.Dropped, c.Mapped = slices.Clone(c.Dropped), slices.Clone(c.Mapped)
	return narrow{api: api, changes: c}
}

// lacks returns the refusal of a member that the protocol does not have.
func (n *narrow) lacks() error {
	return wrong("%s does not support this; leave it out, or use a backend with the protocol openai", n.api)
}

// ofService are members that concern the service, and not the answer.
var ofService = []string{"store", "metadata", "service_tier", "prediction", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "verbosity"}

// other drops a member if it is among ofService or dropped. It refuses another one, unless its
// value asks for nothing.
func (n *narrow) other(name string, v value, dropped ...string) error {
	if slices.Contains(ofService, name) || slices.Contains(dropped, name) {
		if v.says() {
			n.changes.Drop(name)
		}
		return nil
	}
	if !v.says() || string(v) == "0" {
		return nil
	}
	return n.lacks()
}

// droppedInside are members of messages and their parts that only name or weigh something.
var droppedInside = []string{"name", "detail", "annotations", "cache_control"}

// only refuses members of an object that are not in names. Members in droppedInside are counted as
// dropped instead. path is the object's place in the request, without array positions.
func (n *narrow) only(path string, v value, names ...string) error {
	for raw, m := range v.fields() {
		switch name := raw.text(); {
		case m.absent(), !m.says(), slices.Contains(names, name):
		case slices.Contains(droppedInside, name):
			n.changes.Drop(path + "." + name)
		default:
			return at(name, n.lacks())
		}
	}
	return nil
}

// template passes the switch of thinking to set. The families set nothing else in
// chat_template_kwargs, except a budget, which is also a member of its own. Other arguments of a
// chat template have no counterpart.
func (n *narrow) template(v value, set func(value)) error {
	for name, v := range v.members() {
		switch name {
		case "enable_thinking", "thinking":
			set(v)
		case "thinking_budget":
		default:
			return at(name, n.lacks())
		}
	}
	return nil
}

// call reads a tool call of an earlier turn.
func (n *narrow) call(v value) (c toolCall, err error) {
	f := v.member("function")
	err = first(n.only("messages.tool_calls", v, "id", "type", "function"), at("function", n.only("messages.tool_calls.function", f, "name", "arguments")))
	if err != nil {
		return c, err
	}
	args, err := arguments(f.member("arguments"), false)
	if err != nil {
		return c, at("function", at("arguments", wrong("Input should be a JSON object, written as a string")))
	}
	return toolCall{id: v.member("id"), name: f.member("name"), arguments: args}, nil
}

// imageURL returns the URL of a part of the type image_url: an object with a URL, or the URL.
func (n *narrow) imageURL(p value) (value, error) {
	url := p.member("image_url")
	if url.kind() != '{' {
		return url, nil
	}
	if err := n.only("messages.content.image_url", url, "url"); err != nil {
		return nil, at("image_url", err)
	}
	return url.member("url"), nil
}

// stops returns the stop sequences as a list.
func stops(v value) value {
	if v.kind() == '"' {
		return value("[" + string(v) + "]")
	}
	return v
}

// inlineData returns the media type of a data: URL, and its base64 text as a JSON string. ok is
// false for other URLs.
func inlineData(url value) (kind string, data value, ok bool) {
	text := bytes.ReplaceAll(url, []byte(`\/`), []byte("/"))
	head, base64, ok := bytes.Cut(text, []byte(";base64,"))
	head, isData := bytes.CutPrefix(head, []byte(`"data:`))
	if !ok || !isData {
		return "", nil, false
	}
	head, _, _ = bytes.Cut(head, []byte(";"))
	return string(head), append(value(`"`), base64...), true
}
