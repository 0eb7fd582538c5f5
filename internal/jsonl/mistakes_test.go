package jsonl

import (
	"strings"
	"testing"
)

// TestFirstMessageNamesTheMistake holds the reasons to what people and programs write most often in place of JSON Lines.
func TestFirstMessageNamesTheMistake(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"prose":                     {`not json`, "the line is not JSON; expected is one object"},
		"null":                      {`null`, "the line is null; expected is one object"},
		"CSV header":                {`id,prompt`, "the line is not JSON"},
		"CSV":                       {`1,Hello`, "the line begins with a number"},
		"array over lines":          {`[`, "the line is an array"},
		"array on one line":         {`[{"recordId":"1","modelInput":{}}]`, "with no [ ] around the lines"},
		"array's element":           {`  {"recordId":"1","modelInput":{}},`, "column 35: a comma follows the object"},
		"array's end":               {`]`, "the line is not JSON"},
		"two objects":               {`{"modelInput":{}} {"modelInput":{}}`, "column 19: a second object follows"},
		"single quotes":             {`{'recordId': '1'}`, "column 2: a single quote"},
		"single quoted value":       {`{"recordId": '1'}`, "column 14: a single quote"},
		"bare name":                 {`{recordId: "1"}`, "column 2: a word without quotes"},
		"bare value":                {`{"recordId": rec_1}`, "column 14: a word without quotes"},
		"comma at the end":          {`{"modelInput": {}, }`, "a comma with nothing after it"},
		"comma in the object":       {`{"modelInput": {"a":1,}}`, "a comma with nothing after it"},
		"comma in an array":         {`{"modelInput": {"a":[1, ]}}`, "a comma with nothing after it"},
		"printed by Python":         {`{"modelInput": {"a": True}}`, "column 22: a word of Python's"},
		"not a number":              {`{"modelInput": {"a": NaN}}`, "column 22: NaN and Infinity are not JSON numbers"},
		"comment line":              {`# my prompts`, "the line is not JSON"},
		"comment":                   {`{"modelInput": /* mine */ {}}`, "column 16: a comment"},
		"pretty printed, its start": {`{`, "the line ends at column 1 inside a value; a record is on one line as a whole"},
		"pretty printed, its name":  {`  "recordId": "1",`, "the line begins with a string"},
		"line break in a string":    {`{"modelInput": {"a": "x`, `a line break in a string is written \n`},
		"tab in a string":           {"{\"modelInput\": {\"a\": \"x\ty\"}}", "a control character (0x09) inside a string"},
		"Latin-1":                   {"{\"modelInput\": {\"a\": \"\xe9\"}}", "the byte 0xE9 is not UTF-8; convert the file"},
		"UTF-16, first line":        {"\xff\xfe{\x00\"\x00", "the line is UTF-16"},
		"UTF-16, second line":       {"\x00{\x00\"\x00", "the line is UTF-16"},
		"UTF-16, big endian":        {"\x00{\x00\"\x00r", "the line is UTF-16"},
		"UTF-16, little endian":     {"{\x00\"\x00r\x00", "the line is UTF-16"},
		"macOS's companion":         {"\x00\x05\x16\x07\x00\x02\x00\x00Mac OS X", "the file is a macOS AppleDouble file"},
		"padded with zeros":         {"\x00\x00\x00\x00\x00\x00\x00\x00", "the line consists of zero bytes (8)"},
		"one zero":                  {"\x00", "the line consists of zero bytes (1)"},
		"zeros behind the object":   {"{\"modelInput\":{}}\x00\x00\x00", "column 18: a zero byte follows the object"},
		"a mark in the middle":      {"\xef\xbb\xbf{\"modelInput\":{}}", "the line begins with a byte order mark"},
		"gzip":                      {"\x1f\x8b\x08\x00", "the file is in gzip format"},
		"number as id":              {`{"recordId": 1, "modelInput": {}}`, "recordId is a number; expected is a string"},
		"body as string":            {`{"modelInput": "hello"}`, "modelInput is a string; expected is an object"},
		"other case":                {`{"recordid": "1", "modelinput": {}}`, "modelInput is missing (names are compared with their case)"},
		"snake case":                {`{"record_id": "1", "model_input": {}}`, `modelInput is missing (there is a "model_input")`},
		"OpenAI's batch":            {`{"custom_id": "1", "body": {}}`, `modelInput is missing (there is a "body", as in OpenAI's batch files`},
		"body without a record":     {`{"messages": []}`, `the whole body of the model goes inside "modelInput"`},
	} {
		_, _, err := Parse([]byte(c.line))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %s\n got %v\nwant %s", name, c.line, err, c.want)
		}
	}
}
