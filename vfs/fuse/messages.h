#pragma once

// What libfuse has to say, which it would print.

#include "vfs/fuse/libfuse.h"

#include <cstdarg>
#include <cstdio>
#include <string>

namespace bulkhead::fuse {

/* Collects it, as long as it exists; one at a time. */
class Messages
{
private:
	static inline Messages *_listening = nullptr;
	std::string _text{};

	__attribute__((format(printf, 2, 0))) static void _take(
		fuse_log_level, char const *format, va_list arguments)
	{
		char message[512];
		vsnprintf(message, sizeof message, format, arguments);
		if (_listening) _listening->_text += message;
	}

public:
	Messages()
	{
		_listening = this;
		fuse_set_log_func(_take);
	}
	Messages(Messages const &) = delete;
	~Messages() { _listening = nullptr; }

	/* As one line. */
	std::string text() const
	{
		std::string line = _text;
		while (!line.empty() && line.back() == '\n') line.pop_back();
		for (char &c : line)
			if (c == '\n') c = ';';
		return line;
	}
};

} // namespace bulkhead::fuse
