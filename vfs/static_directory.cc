#include "vfs/static_directory.h"

#include "vfs/name.h"

namespace bulkhead::vfs {

Static_directory::Static_directory(
	Allocator &allocator, Calendar const &calendar, Ownership const &ownership)
	: _allocator(allocator),
	  _calendar(calendar),
	  _ownership(ownership),
	  _entries(allocator),
	  _modified_ns(calendar.now_ns())
{}

void Static_directory::_changed()
{
	_modified_ns = _calendar.now_ns();
	_watchers.notify();
}

Attempt<void> Static_directory::attach(std::string_view name, Ref<Node> node)
{
	if (!valid_name(name)) return Error::INVALID;
	if (_entries.find(name)) return Error::EXISTS;
	bool const directory = node->type() == Type::DIRECTORY;
	// The number that its own file system gives the node may be another's here.
	auto entry = _entries.add(name, std::move(node), ++_last_inode);
	if (!entry.ok()) return entry.error();
	_subdirectories += directory;
	_changed();
	return Ok{};
}

Attempt<void> Static_directory::detach(std::string_view name)
{
	Entry *const entry = _entries.find(name);
	if (!entry) return Error::NOT_FOUND;
	Ref<Node> const node = _entries.remove(*entry);
	_subdirectories -= node->type() == Type::DIRECTORY;
	_changed();
	return Ok{};
}

Node *Static_directory::find(std::string_view name) const
{
	Entry const *const entry = _entries.find(name);
	return entry ? entry->node.pointer() : nullptr;
}

Attempt<Ref<Static_directory>> Static_directory::subdirectory(std::string_view name)
{
	if (Entry *const entry = _entries.find(name)) {
		Static_directory *const found = entry->node->static_directory();
		if (!found) return Error::NOT_A_DIRECTORY;
		return Ref<Static_directory>(*found);
	}
	auto made = create(_allocator, _calendar);
	if (!made.ok()) return made.error();
	auto attached = attach(name, made.value());
	if (!attached.ok()) return attached.error();
	return made;
}

Task<Stat> Static_directory::stat(Job &)
{
	return Stat{.type = Type::DIRECTORY,
		.mode = _ownership.mode,
		.links = 2 + _subdirectories,
		.uid = _ownership.uid,
		.gid = _ownership.gid,
		.inode = INODE,
		.size = _entries.size(),
		.accessed_ns = _modified_ns,
		.modified_ns = _modified_ns,
		.changed_ns = _modified_ns};
}

Task<Ref<File>> Static_directory::open(Job &, Credentials const &, Access access)
{
	if (access.write) return Error::IS_A_DIRECTORY;
	return open_as<Entries_file>(_allocator, Ref<Node>(*this), _entries);
}

Task<Ref<Node>> Static_directory::lookup(Job &, std::string_view name)
{
	Entry *const entry = _entries.find(name);
	if (!entry) return Error::NOT_FOUND;
	return entry->node;
}

} // namespace bulkhead::vfs
