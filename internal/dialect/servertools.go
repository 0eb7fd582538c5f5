package dialect

// serverRun reports whether a request member makes the server run something itself: a web
// search, code, a call to another service. The client runs functions and OpenAI's custom tools.
func serverRun(name string, v value) bool {
	switch name {
	case "tools":
		for _, t := range v.elements() {
			if typ := t.member("type"); !typ.absent() && !typ.is("function") && !typ.is("custom") {
				return true
			}
		}
	case "web_search_options", "search_parameters", "plugins", "mcp_servers", "connectors":
		return !v.absent()
	case "enable_search", "enable_code_interpreter":
		return v.isTrue()
	}
	return false
}
