package engine

// Area is the folder an engine works in.
func (e *Engine) Area() string { return string(e.area) }
