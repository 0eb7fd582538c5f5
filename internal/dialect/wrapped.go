package dialect

// textBuffer joins texts, JSON strings all, into one. Each begins a line of its own.
type textBuffer struct{ b value }

// line begins a line.
func (t *textBuffer) line() {
	if len(t.b) == 0 {
		t.b = append(t.b, '"')
		return
	}
	t.b = append(t.b, `\n`...)
}

// add adds the string v; nothing when it is none.
func (t *textBuffer) add(v value) {
	if v.kind() == '"' {
		t.line()
		t.b = append(t.b, v[1:len(v)-1]...)
	}
}

// say adds words of our own, or any JSON.
func (t *textBuffer) say(s string) {
	t.line()
	var b buffer
	b.text(s)
	t.b = append(t.b, b[1:len(b)-1]...)
}

// tagged adds the string v between tags.
func (t *textBuffer) tagged(tag string, v value) {
	t.line()
	t.b = append(t.b, "<"+tag+">"...)
	t.b = append(t.b, v[1:len(v)-1]...)
	t.b = append(t.b, "</"+tag+">"...)
}

// value is the text, and begins the next one.
func (t *textBuffer) value() value {
	v := append(t.b, '"')
	t.b = nil
	return v
}

// told is one text: words, a string, and words.
func told(before string, v value, after string) value {
	b := append(value(`"`), before...)
	b = append(b, v[1:len(v)-1]...)
	return append(append(b, after...), '"')
}

// wrapped is a text with what the model should know of it, such as the title of a document. Between tags it stays apart from its neighbours.
type wrapped struct {
	tag   string
	parts *[]part
	buf   textBuffer
	n     int // heads
}

// head adds a member before the text, such as its title. It ignores values that are not strings; the caller reports them as errors.
func (w *wrapped) head(name string, v value) {
	if v.kind() != '"' || len(v) <= len(`""`) {
		return
	}
	if w.n++; w.n == 1 {
		w.buf.say("<" + w.tag + ">")
	}
	w.buf.tagged(name, v)
}

// text adds a text, which must be a string.
func (w *wrapped) text(v value) { w.buf.add(v) }

// add adds content. Media are parts of their own.
func (w *wrapped) add(parts []part) {
	for _, p := range parts {
		if !p.isMedium() {
			w.text(p.text)
			continue
		}
		w.flush()
		*w.parts = append(*w.parts, p)
	}
}

// close ends the text. Without heads it has no tags.
func (w *wrapped) close() {
	if w.n > 0 {
		w.buf.say("</" + w.tag + ">")
	}
	w.flush()
}

func (w *wrapped) flush() {
	if len(w.buf.b) > 0 {
		*w.parts = append(*w.parts, part{kind: "text", text: w.buf.value()})
	}
}

// searchResult writes where a text was found before the text. Claude's bodies and Converse's have it alike, but for the pieces that it consists of.
func (c *chat) searchResult(to *[]part, o *members, v value, chunks func(w *wrapped, content value) error) error {
	w := wrapped{tag: "search_result", parts: to}
	var content value
	err := c.readObject(o, v, func(name string, v value) error {
		switch name {
		case "source", "title":
			w.head(name, v)
			return wantString(name, v)
		case "content":
			content = v
		}
		return nil
	})
	if err := first(err, needArray("content", content)); err != nil {
		return err
	}
	if err := chunks(&w, content); err != nil {
		return at("content", err)
	}
	w.close()
	return nil
}
