#include "vfs/plugin/char_device/information.h"

#include "base/fixed_string.h"
#include "vfs/plugin/leaf.h"
#include "vfs/static_directory.h"

namespace bulkhead::vfs {

namespace {

constexpr size_t NAME_SHOWN_MAX = 64;

enum class Part : uint8_t { INFO, COUNTERS };

/* Writes `name: value` lines, or only counts their bytes if it has no memory to write to. */
class Lines final : public Info_sink
{
private:
	Part const _part;
	std::span<char> const _to;
	size_t _size = 0;

	void _put(char c)
	{
		if (_size < _to.size()) _to[_size] = c;
		++_size;
	}

	/* A value that holds a line's end would forge lines. */
	void _put(std::string_view text)
	{
		for (char const c : text) _put(static_cast<uint8_t>(c) < ' ' ? ' ' : c);
	}

public:
	explicit Lines(Part part, std::span<char> to = {}) : _part(part), _to(to) {}

	size_t size() const { return _size; }

	void line(std::string_view name, std::string_view value)
	{
		_put(name);
		_put(std::string_view(": "));
		_put(value);
		_put('\n');
	}

	void info(std::string_view name, std::string_view value) override
	{
		if (_part == Part::INFO) line(name, value);
	}
	void counter(std::string_view name, uint64_t value) override
	{
		if (_part != Part::COUNTERS) return;
		char digits[24];
		Text_writer writer{digits};
		format_decimal(writer, value);
		line(name, writer.text());
	}
};

/* What the device said when the file was opened, so that reading piece by piece fits together. */
class Snapshot final : public File
{
private:
	Allocator &_allocator;
	std::span<char> _text{};

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	explicit Snapshot(Allocator &allocator) : _allocator(allocator) {}
	~Snapshot()
	{
		if (!_text.empty()) destroy_array(_allocator, _text);
	}

	/* Room for the text. Error: OUT_OF_MEMORY. */
	Attempt<std::span<char>> make_room(size_t size)
	{
		_text = TRY(create_array<char>(_allocator, size));
		return _text;
	}

	Task<size_t> read(Job &, Mutable_bytes to, Io io) override
	{
		return read_text({_text.data(), _text.size()}, to, io.offset);
	}
};

class Information final : public Leaf
{
private:
	Ref<Char_node> const _node;
	Part const _part;
	Fixed_string<NAME_SHOWN_MAX> _name{};

	void _describe(Lines &lines) const
	{
		if (_part == Part::INFO) {
			lines.line("name", _name);
			lines.line("kind", _node->device.kind());
		}
		_node->device.describe(lines);
	}

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Information(Allocator &allocator, Calendar const &calendar, Ownership const &ownership,
		Ref<Char_node> node, Part part, std::string_view name)
		: Leaf(allocator, calendar, ownership), _node(std::move(node)), _part(part)
	{
		static_cast<void>(_name.assign(name.substr(0, _name.capacity())));
	}

	Type type() const override { return Type::FILE; }

	uint64_t size() override
	{
		Lines lines(_part);
		_describe(lines);
		return lines.size();
	}

	Task<Ref<File>> open(Job &, Credentials const &, Access access) override
	{
		if (access.write) return Error::READ_ONLY;
		auto made = create_counted<Snapshot>(_allocator);
		if (!made.ok()) return made.error();
		if (size_t const bytes = size()) {
			auto const room = made.value()->make_room(bytes);
			if (!room.ok()) return room.error();
			Lines lines(_part, room.value());
			_describe(lines);
		}
		return Ref<File>(std::move(made).value());
	}
};

/* A number in decimal, and nothing but a line's end behind it. */
std::optional<uint64_t> number_of(std::string_view text)
{
	if (text.ends_with('\n')) text.remove_suffix(1);
	if (text.empty()) return {};
	uint64_t number = 0;
	for (char const c : text) {
		if (c < '0' || c > '9') return {};
		uint64_t const digit = static_cast<uint64_t>(c - '0');
		if (number > (UINT64_MAX - digit) / 10) return {};
		number = number * 10 + digit;
	}
	return number;
}

/*
 * A setting as a file. Reading yields what a new session has; what is written is what sessions
 * begin with from then on. The device must have a session to spare for that, else BUSY.
 */
class Setting_node final : public Leaf
{
private:
	Ref<Char_node> const _node;
	Setting const _setting;

	Task<size_t> _read(Job &job, Mutable_bytes to, uint64_t offset)
	{
		uint64_t value = 0;
		if (auto const &initial = _node->initial(_setting)) {
			value = *initial;
		} else {
			CO_TRY_ASSIGN(value, co_await _node->probe(job, _setting));
		}
		Fixed_string<24> line;
		CO_TRY(line.append(value, '\n'));
		co_return read_text(line, to, offset);
	}

	Task<size_t> _write(Job &job, uint64_t value, size_t size)
	{
		CO_TRY(co_await _node->try_out(job, _setting, value));
		_node->initial(_setting) = value;
		co_return size;
	}

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Setting_node(Allocator &allocator, Calendar const &calendar, Ownership const &ownership,
		Ref<Char_node> node, Setting setting)
		: Leaf(allocator, calendar, ownership), _node(std::move(node)), _setting(setting)
	{}

	// Shown as a device: its size is not known before it is read, and writing doesn't truncate.
	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		return _read(job, to, io.offset);
	}
	Task<size_t> write(Job &job, Bytes from, Io) override
	{
		auto const value = number_of(text_of(from));
		if (!value) return Error::INVALID;
		return _write(job, *value, from.size());
	}
};

template <typename T, typename... ARGS>
Attempt<void> attach(
	Context const &context, Static_directory &directory, std::string_view name, ARGS const &...args)
{
	Ref<T> node = TRY(create_counted<T>(context.allocator, context.calendar, args...));
	return directory.attach(name, std::move(node));
}

} // namespace

Attempt<Ref<Node>> create_information(
	Context const &context, Ref<Char_node> node, std::string_view name, Ownership const &device)
{
	auto const with_mode = [&](uint16_t mode) {
		return Ownership{.mode = mode, .uid = device.uid, .gid = device.gid};
	};
	auto const directory = [&] {
		return Static_directory::create(context.allocator, context.calendar, with_mode(0555));
	};
	Ref<Static_directory> root = TRY(directory());
	TRY(attach<Information>(context, *root, "info", with_mode(0444), node, Part::INFO, name));
	TRY(attach<Information>(
		context, *root, "counters", with_mode(0444), node, Part::COUNTERS, name));
	Ref<Static_directory> const settings = TRY(directory());
	TRY(root->attach("settings", settings));
	for (Setting const setting : node->device.settings())
		TRY(attach<Setting_node>(
			context, *settings, name_of(setting), with_mode(0644), node, setting));
	return Ref<Node>(std::move(root));
}

} // namespace bulkhead::vfs
