#include "vfs/plugin/ram/nodes.h"

namespace bulkhead::vfs {

namespace {

constexpr uint16_t MODE_BITS = 07777;
constexpr uint16_t SET_GROUP = 02000;
constexpr uint32_t LINKS_MAX_OF_NODE = 65000;

class Ram_handle final : public File
{
private:
	Allocator &_allocator;
	Ref<Ram_file> const _file;
	bool const _append;

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Ram_handle(Allocator &allocator, Ref<Ram_file> file, bool append)
		: _allocator(allocator), _file(std::move(file)), _append(append)
	{}

	Task<size_t> read(Job &, Mutable_bytes to, Io io) override
	{
		return _file->read(io.offset, to);
	}
	Task<size_t> write(Job &, Bytes from, Io io) override
	{
		return _file->write(_append ? _file->size() : io.offset, from);
	}
};

} // namespace

void Ram_volume::bury(Ram_node &node)
{
	node._next_dead = _dead;
	_dead = &node;
	if (_burying) return;
	_burying = true;
	while (_dead) {
		Ram_node &dead = *_dead;
		_dead = dead._next_dead;
		dead.destroy_self(allocator);
	}
	_burying = false;
}

Ram_node::Ram_node(Ref<Ram_volume> volume, Type type, Ownership const &ownership)
	: _volume(std::move(volume))
{
	int64_t const now_ns = _volume->calendar.now_ns();
	_stat = {.type = type,
		.mode = static_cast<uint16_t>(ownership.mode & MODE_BITS),
		.uid = ownership.uid,
		.gid = ownership.gid,
		.inode = _volume->next_inode(),
		.accessed_ns = now_ns,
		.modified_ns = now_ns,
		.changed_ns = now_ns};
}

Task<void> Ram_node::change(Job &, Changes const &changes)
{
	if (changes.size) return type() == Type::DIRECTORY ? Error::IS_A_DIRECTORY : Error::INVALID;
	if (changes.mode) _stat.mode = *changes.mode & MODE_BITS;
	_stat.uid = changes.uid.value_or(_stat.uid);
	_stat.gid = changes.gid.value_or(_stat.gid);
	_stat.accessed_ns = changes.accessed_ns.value_or(_stat.accessed_ns);
	_stat.modified_ns = changes.modified_ns.value_or(_stat.modified_ns);
	attributes_changed();
	return Ok{};
}

Task<Space> Ram_node::space(Job &)
{
	return Space{.total = _volume->bytes.total(),
		.free = _volume->bytes.free(),
		.nodes_total = _volume->nodes.total(),
		.nodes_free = _volume->nodes.free()};
}

Attempt<void> Ram_file::resize(uint64_t size)
{
	if (size > RAM_SIZE_MAX) return Error::RANGE;
	if (size < _stat.size) _pages.cut(size);
	_stat.size = size;
	content_changed();
	return Ok{};
}

Task<Stat> Ram_file::stat(Job &)
{
	_stat.used = _pages.used();
	return _stat;
}

Task<void> Ram_file::change(Job &job, Changes const &changes)
{
	if (changes.size) {
		auto const resized = resize(*changes.size);
		if (!resized.ok()) return resized.error();
	}
	Changes others = changes;
	others.size.reset();
	return Ram_node::change(job, others);
}

Task<Ref<File>> Ram_file::open(Job &, Credentials const &, Access access)
{
	auto handle =
		create_counted<Ram_handle>(_volume->allocator, Ref<Ram_file>(*this), access.append);
	if (!handle.ok()) return handle.error();
	if (access.truncate) {
		auto const resized = resize(0);
		if (!resized.ok()) return resized.error();
	}
	return Ref<File>(std::move(handle).value());
}

Attempt<Ref<Ram_link>> Ram_link::create(
	Ram_volume &volume, Ownership const &ownership, std::string_view target)
{
	if (target.empty()) return Error::NOT_FOUND;
	if (target.size() > LINK_MAX_BYTES) return Error::TOO_LONG;
	if (target.find('\0') != target.npos) return Error::INVALID;
	Ref<Ram_link> link = TRY(make<Ram_link>(volume, ownership));
	if (!volume.bytes.take(target.size())) return Error::NO_SPACE;
	auto memory = volume.allocator.allocate(target.size(), 1);
	if (!memory.ok()) {
		volume.bytes.give(target.size());
		return memory.error();
	}
	link->_target = {reinterpret_cast<char *>(memory.value().data()), target.size()};
	std::ranges::copy(target, link->_target.begin());
	link->_stat.size = link->_stat.used = target.size();
	return link;
}

Ram_link::~Ram_link()
{
	if (_target.empty()) return;
	_volume->allocator.free(_target.data(), _target.size());
	_volume->bytes.give(_target.size());
}

Task<size_t> Ram_link::read_link(Job &, std::span<char> to)
{
	size_t const n = std::min(to.size(), _target.size());
	std::copy_n(_target.begin(), n, to.begin());
	return n;
}

Ram_directory::~Ram_directory()
{
	while (Entry *const entry = _entries.first()) {
		if (Ram_directory *const below = _directory_of(*entry)) below->_parent = nullptr;
		static_cast<void>(_take(*entry));
	}
}

Ram_directory *Ram_directory::_directory_of(Entry const &entry)
{
	if (entry.node->type() != Type::DIRECTORY) return nullptr;
	return static_cast<Ram_directory *>(entry.node.pointer());
}

Attempt<Entry &> Ram_directory::_add(std::string_view name, Ref<Ram_node> node)
{
	uint64_t const cost = Ram_volume::cost_of(name);
	uint64_t const inode = node->inode();
	if (!_volume->bytes.take(cost)) return Error::NO_SPACE;
	auto entry = _entries.add(name, std::move(node), inode);
	if (!entry.ok()) _volume->bytes.give(cost);
	return entry;
}

Ref<Node> Ram_directory::_take(Entry &entry)
{
	_volume->bytes.give(Ram_volume::cost_of(entry.name()));
	return _entries.remove(entry);
}

/* A directory counts as a link to its parent. */
void Ram_directory::_moved_in(Ram_node &node)
{
	if (node.type() == Type::DIRECTORY) {
		static_cast<Ram_directory &>(node)._parent = this;
		++_stat.links;
	}
	content_changed();
}

void Ram_directory::_moved_out(Ram_node &node)
{
	if (node.type() == Type::DIRECTORY) --_stat.links;
	content_changed();
}

/* A node has lost a name. */
void Ram_directory::_unlink(Ram_node &node)
{
	if (node.type() == Type::DIRECTORY) {
		Ram_directory &directory = static_cast<Ram_directory &>(node);
		directory._parent = nullptr;
		directory._removed = true;
		directory._stat.links = 0;
	} else
		--node.links();
	node.attributes_changed();
}

/* Whether this is the node or below it. */
bool Ram_directory::_within(Ram_node const &node) const
{
	for (Ram_directory const *at = this; at; at = at->_parent)
		if (at == &node) return true;
	return false;
}

Task<Stat> Ram_directory::stat(Job &)
{
	_stat.size = _entries.size();
	return _stat;
}

Task<Ref<File>> Ram_directory::open(Job &, Credentials const &, Access access)
{
	if (access.write) return Error::IS_A_DIRECTORY;
	return open_as<Entries_file>(_volume->allocator, Ref<Node>(*this), _entries);
}

Task<Ref<Node>> Ram_directory::lookup(Job &, std::string_view name)
{
	Entry *const entry = _entries.find(name);
	if (!entry) return Error::NOT_FOUND;
	return entry->node;
}

Attempt<Ref<Ram_node>> Ram_directory::_make(Ownership const &ownership, New_node const &node)
{
	switch (node.type) {
	case Type::FILE: return Ref<Ram_node>(TRY(Ram_file::create(*_volume, ownership)));
	case Type::DIRECTORY: return Ref<Ram_node>(TRY(Ram_directory::create(*_volume, ownership)));
	case Type::SYMLINK:
		return Ref<Ram_node>(TRY(Ram_link::create(*_volume, ownership, node.target)));
	case Type::CHAR_DEVICE: break;
	}
	return Error::NOT_SUPPORTED;
}

Task<Ref<Node>> Ram_directory::create(
	Job &, Credentials const &who, std::string_view name, New_node const &node)
{
	if (_removed) return Error::NOT_FOUND;
	if (_entries.find(name)) return Error::EXISTS;
	Ownership ownership{.mode = node.mode, .uid = who.uid, .gid = who.gid};
	if (node.type == Type::SYMLINK) ownership.mode = 0777;
	if (_stat.mode & SET_GROUP) {
		ownership.gid = _stat.gid;
		if (node.type == Type::DIRECTORY) ownership.mode |= SET_GROUP;
	}
	auto made = _make(ownership, node);
	if (!made.ok()) return made.error();
	auto const entry = _add(name, made.value());
	if (!entry.ok()) return entry.error();
	_moved_in(*made.value());
	return Ref<Node>(std::move(made).value());
}

Task<void> Ram_directory::link(Job &, std::string_view name, Node &node)
{
	if (node.instance() != instance()) return Error::CROSS_DEVICE;
	if (node.type() == Type::DIRECTORY) return Error::IS_A_DIRECTORY;
	Ram_node &linked = static_cast<Ram_node &>(node);
	if (_removed || linked.links() == 0) return Error::NOT_FOUND;
	if (_entries.find(name)) return Error::EXISTS;
	if (linked.links() >= LINKS_MAX_OF_NODE) return Error::NO_SPACE;
	auto const entry = _add(name, Ref<Ram_node>(linked));
	if (!entry.ok()) return entry.error();
	++linked.links();
	linked.attributes_changed();
	content_changed();
	return Ok{};
}

Task<void> Ram_directory::remove(Job &, std::string_view name, bool directory)
{
	Entry *const entry = _entries.find(name);
	if (!entry) return Error::NOT_FOUND;
	Ram_directory *const removed = _directory_of(*entry);
	if (directory && !removed) return Error::NOT_A_DIRECTORY;
	if (!directory && removed) return Error::IS_A_DIRECTORY;
	if (removed && !removed->_entries.empty()) return Error::NOT_EMPTY;
	Ram_node &node = _node_of(*entry);
	_moved_out(node);
	_unlink(node);
	static_cast<void>(_take(*entry));
	return Ok{};
}

Task<void> Ram_directory::rename(
	Job &, std::string_view name, Node &to, std::string_view new_name, Rename how)
{
	if (to.instance() != instance()) return Error::CROSS_DEVICE;
	if (to.type() != Type::DIRECTORY) return Error::NOT_A_DIRECTORY;
	return _rename(name, static_cast<Ram_directory &>(to), new_name, how);
}

Attempt<void> Ram_directory::_rename(
	std::string_view name, Ram_directory &to, std::string_view new_name, Rename how)
{
	Entry *const entry = _entries.find(name);
	if (!entry || to._removed) return Error::NOT_FOUND;
	if (to._within(_node_of(*entry))) return Error::INVALID;
	Entry *const old = to._entries.find(new_name);
	if (how == Rename::EXCHANGE) return _exchange(*entry, to, old);
	if (!old) return _move(*entry, to, new_name);
	if (how == Rename::NO_REPLACE) return Error::EXISTS;
	// Two names of the same file both stay: POSIX wants it so.
	if (old->node == entry->node) return Ok{};
	return _replace(*entry, to, *old);
}

Attempt<void> Ram_directory::_move(Entry &entry, Ram_directory &to, std::string_view new_name)
{
	// In a full file system an entry can still move.
	uint64_t const cost = Ram_volume::cost_of(entry.name());
	Ram_node &node = _node_of(entry);
	_volume->bytes.give(cost);
	auto const added = to._add(new_name, Ref<Ram_node>(node));
	bool const as_before = _volume->bytes.take(added.ok() ? 0 : cost);
	BULKHEAD_ASSERT(as_before);
	if (!added.ok()) return added.error();
	static_cast<void>(_entries.remove(entry));
	_moved_out(node);
	to._moved_in(node);
	node.attributes_changed();
	return Ok{};
}

/* The old entry keeps its place in the order of reading, as its name is there throughout. */
Attempt<void> Ram_directory::_replace(Entry &entry, Ram_directory &to, Entry &old)
{
	Ram_directory *const replaced = _directory_of(old);
	Ram_directory *const moved = _directory_of(entry);
	if (replaced && !moved) return Error::IS_A_DIRECTORY;
	if (moved && !replaced) return Error::NOT_A_DIRECTORY;
	if (replaced && !replaced->_entries.empty()) return Error::NOT_EMPTY;
	Ram_node &node = _node_of(entry);
	Ref<Node> const gone = std::exchange(old.node, entry.node);
	old.inode = node.inode();
	Ram_node &gone_node = static_cast<Ram_node &>(*gone);
	to._moved_out(gone_node);
	_unlink(gone_node);
	_moved_out(node);
	to._moved_in(node);
	static_cast<void>(_take(entry));
	node.attributes_changed();
	return Ok{};
}

Attempt<void> Ram_directory::_exchange(Entry &entry, Ram_directory &to, Entry *old)
{
	if (!old) return Error::NOT_FOUND;
	Ram_node &there = _node_of(*old);
	Ram_node &here = _node_of(entry);
	if (_within(there)) return Error::INVALID;
	std::swap(entry.node, old->node);
	std::swap(entry.inode, old->inode);
	_moved_out(here);
	to._moved_out(there);
	_moved_in(there);
	to._moved_in(here);
	here.attributes_changed();
	there.attributes_changed();
	return Ok{};
}

} // namespace bulkhead::vfs
