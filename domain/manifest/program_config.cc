#include "domain/manifest/program_config.h"

#include <optional>

namespace bulkhead::domain {
namespace {

constexpr std::string_view HEAD = "bulkhead-program 1";

void add_line(std::string &to, std::string_view word, std::string_view value)
{
	to += word;
	to += ' ';
	for (char const c : value) {
		if (c == '\n')
			to += "\\n";
		else if (c == '\\')
			to += "\\\\";
		else
			to += c;
	}
	to += '\n';
}

void add_arguments(std::string &to, std::vector<std::string> const &arguments)
{
	for (std::string const &argument : arguments) add_line(to, "argument", argument);
}

std::optional<std::string> unescaped(std::string_view value)
{
	std::string text;
	for (size_t i = 0; i < value.size(); ++i) {
		if (value[i] == '\0') return {};
		if (value[i] != '\\') {
			text += value[i];
			continue;
		}
		if (++i == value.size()) return {};
		if (value[i] != 'n' && value[i] != '\\') return {};
		text += value[i] == 'n' ? '\n' : '\\';
	}
	return text;
}

/* Which section the next line belongs to. */
class Reader
{
private:
	Program_config _config{};
	std::vector<std::string> *_arguments = nullptr; // of the section, if it has some
	bool _in_mount = false;
	bool _program_seen = false;

	bool _begin_program()
	{
		if (_program_seen) return false;
		_program_seen = true;
		_in_mount = false;
		_arguments = &_config.program;
		return true;
	}

	bool _begin_service(std::string name)
	{
		_in_mount = false;
		_config.commands.push_back({std::move(name), {}});
		_arguments = &_config.commands.back().command;
		return !_config.commands.back().service.empty();
	}

	bool _begin_mount(std::string target)
	{
		_arguments = nullptr;
		_in_mount = true;
		_config.mounts.push_back({std::move(target), {}, {}});
		return !_config.mounts.back().target.empty();
	}

	// Of the mount; once.
	bool _set(std::string Mount::*field, std::string value)
	{
		if (!_in_mount || value.empty()) return false;
		std::string &to = _config.mounts.back().*field;
		if (!to.empty()) return false;
		to = std::move(value);
		return true;
	}

public:
	bool take(std::string_view word, std::string value)
	{
		if (word == "program") return value.empty() && _begin_program();
		if (word == "service") return _begin_service(std::move(value));
		if (word == "mount") return _begin_mount(std::move(value));
		if (word == "domain") return _set(&Mount::domain, std::move(value));
		if (word == "name") return _set(&Mount::name, std::move(value));
		if (word == "environment") {
			_config.environment.push_back(std::move(value));
			return _config.environment.back().find('=') != std::string::npos;
		}
		if (word != "argument" || !_arguments) return false;
		_arguments->push_back(std::move(value));
		return true;
	}

	Attempt<Program_config> end()
	{
		if (_program_seen && _config.program.empty()) return Error::INVALID;
		for (Service_command const &each : _config.commands)
			if (each.command.empty()) return Error::INVALID;
		for (Mount const &each : _config.mounts)
			if (each.domain.empty() || each.name.empty()) return Error::INVALID;
		return std::move(_config);
	}
};

} // namespace

std::string to_text(Program_config const &config)
{
	std::string text{HEAD};
	text += '\n';
	for (std::string const &variable : config.environment) add_line(text, "environment", variable);
	if (!config.program.empty()) {
		add_line(text, "program", {});
		add_arguments(text, config.program);
	}
	for (Service_command const &each : config.commands) {
		add_line(text, "service", each.service);
		add_arguments(text, each.command);
	}
	for (Mount const &each : config.mounts) {
		add_line(text, "mount", each.target);
		add_line(text, "domain", each.domain);
		add_line(text, "name", each.name);
	}
	return text;
}

Attempt<Program_config> read_program_config(std::string_view text)
{
	if (text.size() > PROGRAM_CONFIG_MAX) return Error::TOO_LONG;
	Reader reader;
	bool first = true;
	while (!text.empty()) {
		size_t const end = text.find('\n');
		if (end == std::string_view::npos) return Error::INVALID;
		std::string_view const line = text.substr(0, end);
		text.remove_prefix(end + 1);
		if (first) {
			if (line != HEAD) return Error::INVALID;
			first = false;
			continue;
		}
		size_t const blank = line.find(' ');
		if (blank == std::string_view::npos) return Error::INVALID;
		std::optional<std::string> value = unescaped(line.substr(blank + 1));
		if (!value || !reader.take(line.substr(0, blank), std::move(*value))) return Error::INVALID;
	}
	if (first) return Error::INVALID;
	return reader.end();
}

} // namespace bulkhead::domain
