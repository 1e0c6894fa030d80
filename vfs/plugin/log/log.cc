#include "vfs/plugin/log/log.h"

#include "base/fixed_string.h"
#include "vfs/plugin/leaf.h"
#include "vfs/plugin/ownership.h"

namespace bulkhead::vfs {

namespace {

using Prefix = Fixed_string<32>;

constexpr Key KEYS[] = {
	{"level", Kind::TEXT, "error, warning, info (default) or debug"},
	{"prefix", Kind::TEXT, "what each message begins with"},
	OWNERSHIP_KEYS[0],
	OWNERSHIP_KEYS[1],
	OWNERSHIP_KEYS[2],
};

class Log_node;

/* A line belongs to who writes it, however many write at the same time. */
class Log_file final : public File
{
private:
	Allocator &_allocator;
	Ref<Log_node> const _node;
	Fixed_string<LOG_LINE_MAX> _line{};

	void _put(char);
	void _flush();

protected:
	void unreferenced() override
	{
		_flush();
		destroy(_allocator, *this);
	}

public:
	Log_file(Allocator &allocator, Ref<Log_node> node)
		: _allocator(allocator), _node(std::move(node))
	{}

	Task<size_t> read(Job &, Mutable_bytes, Io) override { return size_t{0}; }

	Task<size_t> write(Job &, Bytes from, Io) override
	{
		for (char const c : text_of(from)) _put(c);
		return from.size();
	}
};

class Log_node final : public Leaf
{
protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Log const log;
	Level const level;
	Prefix const prefix;

	Log_node(Allocator &allocator, Calendar const &calendar, Ownership const &ownership, Log l,
		Level at, Prefix const &begin)
		: Leaf(allocator, calendar, ownership), log(l), level(at), prefix(begin)
	{}

	Task<Ref<File>> open(Job &, Credentials const &, Access) override
	{
		return open_as<Log_file>(_allocator, Ref<Log_node>(*this));
	}
};

void Log_file::_flush()
{
	if (!_line.empty()) _node->log.log(_node->level, _node->prefix, _line);
	_line.clear();
}

void Log_file::_put(char c)
{
	if (c == '\n') return _flush();
	if (c == '\r') return;
	// Bytes from 0x80 on are parts of UTF-8 characters.
	bool const printable = c == '\t' || (c != 0x7f && static_cast<uint8_t>(c) >= ' ');
	static_cast<void>(_line.append(printable ? c : '?'));
	if (_line.size() == _line.capacity()) _flush();
}

Attempt<Level, Config_fault> level_of(Config const &config)
{
	std::string_view const text = TRY(config.text("level", name_of(Level::INFO)));
	for (Level const level : {Level::ERROR, Level::WARNING, Level::INFO, Level::DEBUG})
		if (name_of(level) == text) return level;
	return Config::fault("level", "is no level", "write error, warning, info or debug");
}

} // namespace

std::span<Key const> Log_plugin::keys() const { return KEYS; }

Attempt<Made, Config_fault> Log_plugin::create(Config const &config, Context const &context) const
{
	Ownership const ownership = TRY(ownership_of(config, context, 0622));
	Level const level = TRY(level_of(config));
	auto const prefix = Prefix::from(TRY(config.text("prefix")));
	if (!prefix.ok()) return Config::fault("prefix", "is too long", "use at most 32 characters");
	auto node = create_counted<Log_node>(
		context.allocator, context.calendar, ownership, context.log, level, prefix.value());
	if (!node.ok()) return Config::fault("", node.error());
	return Made{std::move(node).value(), {}};
}

} // namespace bulkhead::vfs
