package server

// End is what a server that drains does first.
func (s *Server) End() { s.end() }
