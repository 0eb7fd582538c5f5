package dialect

// textBuffer joins texts, which are JSON strings, to one text with one line each.
type textBuffer struct{ b value }

// line starts a new line.
func (t *textBuffer) line() {
	if len(t.b) == 0 {
		t.b = append(t.b, '"')
		return
	}
	t.b = append(t.b, `\n`...)
}

// add appends the string v; other values are ignored.
func (t *textBuffer) add(v value) {
	if v.kind() == '"' {
		t.line()
		t.b = append(t.b, v[1:len(v)-1]...)
	}
}

// say appends our own words, or any text.
func (t *textBuffer) say(s string) {
	t.line()
	var b buffer
	b.text(s)
	t.b = append(t.b, b[1:len(b)-1]...)
}

// tagged appends the string v between an opening and a closing tag.
func (t *textBuffer) tagged(tag string, v value) {
	t.line()
	t.b = append(t.b, "<"+tag+">"...)
	t.b = append(t.b, v[1:len(v)-1]...)
	t.b = append(t.b, "</"+tag+">"...)
}

// value returns the text and clears the buffer.
func (t *textBuffer) value() value {
	v := append(t.b, '"')
	t.b = nil
	return v
}

// told returns one text: before, the string v, and after.
func told(before string, v value, after string) value {
	b := append(value(`"`), before...)
	b = append(b, v[1:len(v)-1]...)
	return append(append(b, after...), '"')
}

// wrapped is a text with information about it, such as a document's title. Tags separate it
// from neighbouring texts.
type wrapped struct {
	tag   string
	parts *[]part
	buf   textBuffer
	n     int // number of heads
}

// head adds information before the text, such as its title. Values that are not strings are
// ignored; the caller reports them.
func (w *wrapped) head(name string, v value) {
	if v.kind() != '"' || len(v) <= len(`""`) {
		return
	}
	// The first head opens the tag; close writes the end.
	if w.n++; w.n == 1 {
		w.buf.say("<" + w.tag + ">")
	}
	w.buf.tagged(name, v)
}

// text appends a text, which must be a string.
func (w *wrapped) text(v value) { w.buf.add(v) }

// add appends content. Media become parts of their own.
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

// close finishes the text. It writes tags only if there were heads.
func (w *wrapped) close() {
	if w.n > 0 {
		w.buf.say("</" + w.tag + ">")
	}
	w.flush()
}

// flush appends the text so far as a part.
func (w *wrapped) flush() {
	if len(w.buf.b) > 0 {
		*w.parts = append(*w.parts, part{kind: "text", text: w.buf.value()})
	}
}

// searchResult reads a search result and writes its source before the text. Claude's and
// Converse's format differ only in their pieces, which chunks reads.
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
