package dialect

import (
	"errors"

	"github.com/batholith/batholith"
)

// leg translates between OpenAI's protocol and another one. Every family is translated to
// OpenAI's protocol, so a family and a leg give the translation to the other protocol.
type leg interface {
	// request converts a request. Its errors may be of type [*invalid]; they name members of the
	// request that hub contains.
	request(hub batholith.Call) (batholith.Call, error)
	// answer converts an answer to call, which request has made. Its errors are those of
	// [Dialect].
	answer(call batholith.Call, body []byte) (hub []byte, err error)
	// carries returns an error if the protocol has nothing like this path of OpenAI's. It names
	// the cause and the remedy.
	carries(path string) error
	// native returns the translator of bodies that are in the protocol's own format already, or
	// nil if t translates other ones.
	native(t translator) translator
}

// through returns the translator of t's bodies by way of a leg. A family with several formats is
// translated format by format: the formats that the protocol cannot carry are refused record by
// record.
func through(t translator, l leg) (translator, error) {
	switch t := t.(type) {
	case byShape:
		return t.through(l), nil
	case alwaysChat:
		return alwaysChat{t.byShape.through(l)}, nil
	case noConverse:
		return nil, errors.New(embedsOnly)
	}
	if n := l.native(t); n != nil {
		return n, nil
	}
	err := l.carries(pathOf(t, nil))
	if p, ok := t.(templated); ok && err != nil && p.images && l.carries(chatPath) == nil {
		return withImagesOnly(p, l, err), nil
	}
	if err != nil {
		return nil, err
	}
	return crossing{t, l}, nil
}

// withImagesOnly is a family whose bodies the leg carries only if they have images, since these are sent as a chat. why says why not without.
func withImagesOnly(t templated, l leg, why error) byShape {
	return func(body value) (translator, error) {
		if t.hasImages(body) {
			return crossing{t, l}, nil
		}
		return nil, wrong("%v", why)
	}
}

// through is the function through for each format.
func (of byShape) through(l leg) byShape {
	return func(body value) (translator, error) {
		t, err := of(body)
		if err != nil {
			return nil, err
		}
		t, err = through(t, l)
		if err != nil {
			return nil, wrong("%v", err)
		}
		return t, nil
	}
}

// crossing translates a family's bodies to OpenAI's protocol, and from there to another.
type crossing struct {
	t translator
	l leg
}

// request implements translator. The request in OpenAI's protocol is in memory only.
func (c crossing) request(body value, model string) (batholith.Call, error) {
	hub, err := c.t.request(body, model)
	if err != nil {
		return batholith.Call{}, err
	}
	defer Discard(hub)
	return c.l.request(hub)
}

// answer implements translator.
func (c crossing) answer(input value, call batholith.Call, body []byte) (batholith.Answer, error) {
	hub, err := c.l.answer(call, body)
	if err != nil {
		return batholith.Answer{}, err
	}
	return c.t.answer(input, call, hub)
}

// path implements pather.
func (c crossing) path(body value) string { return pathOf(c.t, body) }

// legCanary translates the canary of OpenAI's protocol. ok is false if the leg cannot carry it.
func legCanary(l leg, path string, f Features, model, text string) (call batholith.Call, ok bool) {
	hub, ok := openAICanary(path, f, model, text)
	if !ok || l.carries(path) != nil {
		return batholith.Call{}, false
	}
	defer Discard(hub)
	call, err := l.request(hub)
	return call, err == nil
}
