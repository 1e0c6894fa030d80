#include "vfs/fuse/entry_list.h"

#include "vfs/fuse/attributes.h"

namespace bulkhead::fuse {

bool Entry_list::_take(std::string_view name, vfs::Type type, uint64_t inode, uint64_t next_offset)
{
	Entry entry{std::string(name), next_offset, {}};
	// To many programs an entry with the number 0 is a deleted one.
	entry.attributes.attr.st_ino = inode ? _directory.shown_inode(inode) : ~uint64_t{0};
	entry.attributes.attr.st_mode = mode_of(type);
	char const *const text = entry.name.c_str();
	size_t const size = _plus ? fuse_add_direntry_plus(_request, nullptr, 0, text, nullptr, 0)
							  : fuse_add_direntry(_request, nullptr, 0, text, nullptr, 0);
	if (size > _room) return false;
	_room -= size;
	_entries.push_back(std::move(entry));
	return true;
}

bool Entry_list::take_own(uint64_t offset)
{
	if (offset < 1 && !_take(".", vfs::Type::DIRECTORY, 0, 1)) return false;
	return offset >= OWN || _take("..", vfs::Type::DIRECTORY, 0, OWN);
}

bool Entry_list::entry(std::string_view name, vfs::Type type, uint64_t inode, uint64_t next_cookie)
{
	return _take(name, type, inode, offset_of(next_cookie));
}

size_t Entry_list::write(Mutable_bytes to) const
{
	char *const start = reinterpret_cast<char *>(to.data());
	size_t used = 0;
	for (Entry const &entry : _entries) {
		char const *const name = entry.name.c_str();
		off_t const next = static_cast<off_t>(entry.next_offset);
		size_t const room = to.size() - used;
		size_t const size = _plus
			? fuse_add_direntry_plus(_request, start + used, room, name, &entry.attributes, next)
			: fuse_add_direntry(_request, start + used, room, name, &entry.attributes.attr, next);
		if (size > room) break;
		used += size;
	}
	return used;
}

} // namespace bulkhead::fuse
