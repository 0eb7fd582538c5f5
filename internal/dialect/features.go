package dialect

// Features is the set of abilities that a request needs besides text. A server may fail for a
// feature: the model cannot see images, the server has no parser for tool calls, or an engine
// fails on a schema.
type Features uint8

// The features, one bit each.
const (
	FeatureMedia  Features = 1 << iota // images
	FeatureStream                      // audio or video
	FeatureTools                       // functions that the model may call
	FeatureSchema                      // the answer must follow a schema, a grammar or one tool
)

// Has reports whether f contains all features of g.
func (f Features) Has(g Features) bool { return f&g == g }

// member adds the features that a member of the body, or of additionalModelRequestFields,
// needs. name is the JSON string with quotes.
func (f *Features) member(name, v value) {
	switch string(name) {
	case `"tools"`, `"functions"`:
		if v.filled() {
			*f |= FeatureTools
		}
	// Images in bodies for embeddings, and in bodies with a prompt.
	case `"inputImage"`, `"images"`:
		if !v.absent() && v.says() {
			*f |= FeatureMedia
		}
	case `"inputs"`:
		for _, in := range v.elements() {
			f.block(in, 0)
		}
	case `"singleEmbeddingParams"`:
		f.block(v, 0)
	// Converse: tools, and a choice that forces one.
	case `"toolConfig"`:
		if v.member("tools").filled() {
			*f |= FeatureTools
		}
		for choice, m := range v.member("toolChoice").fields() {
			if !m.absent() && string(choice) != `"auto"` {
				*f |= FeatureSchema
			}
		}
	// A forced call is generated with a grammar, like a schema.
	case `"tool_choice"`:
		if forced(v) {
			*f |= FeatureSchema
		}
	case `"response_format"`:
		if typ := v.member("type"); !typ.absent() && !typ.is("text") {
			*f |= FeatureSchema
		}
	case `"output_config"`:
		if !v.member("format").absent() {
			*f |= FeatureSchema
		}
	case `"outputConfig"`:
		if !v.member("textFormat").absent() {
			*f |= FeatureSchema
		}
	case `"output_format"`, `"guided_json"`, `"guided_regex"`, `"guided_choice"`, `"guided_grammar"`, `"structured_outputs"`, `"json_schema"`,
		`"grammar"`, `"regex"`:
		if !v.absent() {
			*f |= FeatureSchema
		}
	case `"additionalModelRequestFields"`:
		for name, m := range v.fields() {
			f.member(name, m)
		}
	}
}

// filled reports whether v is a non-empty array.
func (v value) filled() bool {
	for range v.elements() {
		return true
	}
	return false
}

// forced reports whether a tool_choice forces a tool call: "required", "any", or an object
// other than auto and none.
func forced(v value) bool {
	switch v.kind() {
	case '"':
		return v.is("required") || v.is("any")
	case '{':
		typ := v.member("type")
		return !typ.is("auto") && !typ.is("none")
	}
	return false
}

// turns adds the features of the messages, an array at v[i], and returns the position after it.
// It runs for every record, so it reads the bytes only once.
func (f *Features) turns(v value, i int) (end int) {
	if i >= len(v) || v[i] != '[' {
		return skip(v, i)
	}
	return eachElement(v, i, func(at int) int {
		return eachMember(v, at, func(name value, at int) int { return f.content(v, name, at) })
	})
}

// content searches a member that may be a list of blocks, and returns the position after its
// value.
func (f *Features) content(v, name value, at int) int {
	if at < len(v) && v[at] == '[' && string(name) == `"content"` {
		return eachElement(v, at, func(at int) int { return f.block(v, at) })
	}
	return skip(v, at)
}

// block inspects one content block. Anthropic's and OpenAI's blocks have a type; Converse's are
// named by their member. Tool results contain blocks too.
func (f *Features) block(v value, at int) int {
	return eachMember(v, at, func(name value, at int) int {
		switch string(name) {
		case `"content"`:
			return f.content(v, name, at)
		case `"toolResult"`, `"source"`: // of a document: blocks
			return eachMember(v, at, func(name value, at int) int { return f.content(v, name, at) })
		case `"guardContent"`:
			return f.block(v, at)
		}
		end := skip(v, at)
		switch m := v[at:end]; string(name) {
		case `"type"`:
			switch string(m) {
			case `"image"`, `"image_url"`, `"input_image"`:
				*f |= FeatureMedia
			case `"input_audio"`, `"audio_url"`, `"audio"`, `"video_url"`, `"video"`:
				*f |= FeatureStream
			}
		case `"image"`:
			if m.kind() == '{' {
				*f |= FeatureMedia
			}
		case `"video"`, `"audio"`:
			if m.kind() == '{' {
				*f |= FeatureStream
			}
		}
		return end
	})
}

// eachMember calls visit for each member of the object at v[i], with the member's name as
// written and the position of its value. visit returns the position after the value. Unlike
// fields it does not search for the end of a value first, so nested values are read once. Any
// other value is skipped.
func eachMember(v value, i int, visit func(name value, at int) (end int)) (end int) {
	if i >= len(v) || v[i] != '{' {
		return skip(v, i)
	}
	if i = space(v, i+1); i < len(v) && v[i] == '}' {
		return i + 1
	}
	for i < len(v) && v[i] == '"' {
		name, at := v.named(i)
		i = space(v, visit(name, at))
		if i >= len(v) || v[i] != ',' {
			break
		}
		i = space(v, i+1)
	}
	return min(i+1, len(v))
}

// eachElement is eachMember for the elements of the array at v[i].
func eachElement(v value, i int, visit func(at int) (end int)) (end int) {
	if i = space(v, i+1); i < len(v) && v[i] == ']' {
		return i + 1
	}
	for i < len(v) {
		i = space(v, visit(i))
		if i >= len(v) || v[i] != ',' {
			break
		}
		i = space(v, i+1)
	}
	return min(i+1, len(v))
}
