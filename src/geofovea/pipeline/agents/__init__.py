"""Programs that ask: the tools of the Model Context Protocol, and chat completions."""
