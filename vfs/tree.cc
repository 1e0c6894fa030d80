#include "vfs/tree.h"

#include "base/fixed_string.h"
#include "base/owned.h"
#include "vfs/name.h"
#include "vfs/permission.h"

namespace bulkhead::vfs {

namespace {

std::string_view without_slashes(std::string_view path)
{
	size_t const begin = path.find_first_not_of('/');
	return begin == path.npos ? std::string_view() : path.substr(begin);
}

/* The first component of what doesn't begin with a slash. */
std::string_view component_of(std::string_view path) { return path.substr(0, path.find('/')); }

/* One walk along a path; it is where the nodes are kept that ".." leads back to. */
class Walk
{
private:
	Credentials const &_who;
	Ref<Node> const _root;
	std::string_view _rest;
	Ref<Node> _above[DEPTH_MAX];
	unsigned _depth = 0;
	unsigned _links = 0;
	char _text[PATH_MAX_BYTES]; // what links have led to, at the end

	Task<void> _look_up(Job &, std::string_view component, bool follow);
	Task<void> _follow(Job &, Node &link);

public:
	Ref<Node> at; // where the walk is
	Fixed_string<NAME_MAX_BYTES> name{}; // last component, not yet looked up; empty for the root
	bool must_be_directory = false; // the path ends with a slash

	Walk(Credentials const &who, Ref<Node> root, std::string_view path)
		: _who(who), _root(root), _rest(path), at(std::move(root))
	{}

	/* To the directory that the last component is looked up in. */
	Task<void> to_parent(Job &);

	/* To the end. */
	Task<void> to_end(Job &, Last);

	/* Whether the caller may do something with the node where the walk is, by permission bits. */
	Task<Stat> check(Job &, unsigned rights);
};

Task<Stat> Walk::check(Job &job, unsigned rights)
{
	CO_TRY_ASSIGN(Stat const stat, co_await at->stat(job));
	if (!permitted(stat, _who, rights)) co_return Error::DENIED;
	co_return stat;
}

/* Puts the target of a link before what is left of the path. */
Task<void> Walk::_follow(Job &job, Node &link)
{
	if (++_links > LINKS_MAX) co_return Error::TOO_MANY_LINKS;
	if (_rest.size() + 1 >= sizeof(_text)) co_return Error::TOO_LONG;
	size_t const rest_at = sizeof(_text) - _rest.size();
	copy_bytes({reinterpret_cast<uint8_t *>(_text) + rest_at, _rest.size()}, bytes_of(_rest));
	std::span<char> const room(_text, rest_at);
	CO_TRY_ASSIGN(size_t const size, co_await link.read_link(job, room));
	if (size == 0) co_return Error::NOT_FOUND;
	// A target that fills the room may have been cut.
	if (size >= room.size()) co_return Error::TOO_LONG;
	if (text_of({reinterpret_cast<uint8_t *>(_text), size}).find('\0') != std::string_view::npos)
		co_return Error::INVALID;
	// The rest begins with a slash or is empty.
	std::copy_backward(_text, _text + size, _text + rest_at);
	_rest = {_text + rest_at - size, sizeof(_text) - rest_at + size};
	if (_rest[0] != '/') co_return Ok{};
	while (_depth) _above[--_depth].reset();
	at = _root;
	co_return Ok{};
}

Task<void> Walk::_look_up(Job &job, std::string_view component, bool follow)
{
	if (at->type() != Type::DIRECTORY) co_return Error::NOT_A_DIRECTORY;
	if (_who.uid != 0) CO_TRY(co_await check(job, EXECUTE));
	if (component == ".") co_return Ok{};
	if (component == "..") {
		if (_depth) at = std::move(_above[--_depth]);
		co_return Ok{};
	}
	CO_TRY_ASSIGN(Ref<Node> node, co_await at->lookup(job, component));
	if (follow && node->type() == Type::SYMLINK) {
		CO_TRY(co_await _follow(job, *node));
		co_return Ok{};
	}
	if (_depth == DEPTH_MAX) co_return Error::TOO_LONG;
	_above[_depth++] = std::exchange(at, std::move(node));
	co_return Ok{};
}

Task<void> Walk::to_parent(Job &job)
{
	for (;;) {
		_rest = without_slashes(_rest);
		std::string_view const component = component_of(_rest);
		if (component.size() > NAME_MAX_BYTES) co_return Error::TOO_LONG;
		std::string_view const behind = _rest.substr(component.size());
		_rest = behind;
		if (without_slashes(behind).empty()) {
			must_be_directory = must_be_directory || !behind.empty();
			static_cast<void>(name.assign(component)); // it fits
			if (at->type() != Type::DIRECTORY) co_return Error::NOT_A_DIRECTORY;
			co_return Ok{};
		}
		CO_TRY(co_await _look_up(job, component, true));
	}
}

Task<void> Walk::to_end(Job &job, Last last)
{
	for (;;) {
		CO_TRY(co_await to_parent(job));
		if (name.empty()) break;
		_rest = {};
		CO_TRY(co_await _look_up(job, name, last == Last::FOLLOW || must_be_directory));
		if (_rest.empty()) break;
	}
	if (must_be_directory && at->type() != Type::DIRECTORY) co_return Error::NOT_A_DIRECTORY;
	co_return Ok{};
}

Attempt<Owned<Walk>> begin_walk(
	Allocator &allocator, Credentials const &who, Node &root, std::string_view path)
{
	if (path.empty()) return Error::NOT_FOUND;
	if (path.size() > PATH_MAX_BYTES) return Error::TOO_LONG;
	if (path.find('\0') != path.npos) return Error::INVALID;
	return create_owned<Walk>(allocator, who, Ref<Node>(root), path);
}

/*
 * To the directory where an entry shall be made or taken away. The root, "." and ".." are no names
 * that this is possible for.
 */
Task<Stat> to_changeable_parent(Job &job, Walk &walk, Error error_of_no_name)
{
	CO_TRY(co_await walk.to_parent(job));
	if (!valid_name(walk.name)) co_return error_of_no_name;
	co_return co_await walk.check(job, WRITE | EXECUTE);
}

/* The entry that shall be taken out of a directory. */
Task<Ref<Node>> removable(Job &job, Walk const &walk, Stat const &directory, Credentials const &who)
{
	CO_TRY_ASSIGN(Ref<Node> node, co_await walk.at->lookup(job, walk.name));
	if (directory.mode & 01000) {
		CO_TRY_ASSIGN(Stat const stat, co_await node->stat(job));
		if (!sticky_permits(directory, stat, who)) co_return Error::DENIED;
	}
	co_return node;
}

/* A handle that was not opened for all: the rest is refused. */
class Limited_file final : public File
{
private:
	Allocator &_allocator;
	Ref<File> const _file;
	Access const _access;

protected:
	void unreferenced() override { destroy(_allocator, *this); }

public:
	Limited_file(Allocator &allocator, Ref<File> file, Access access)
		: _allocator(allocator), _file(std::move(file)), _access(access)
	{}

	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		if (!_access.read) return Error::DENIED;
		return _file->read(job, to, io);
	}
	Task<size_t> write(Job &job, Bytes from, Io io) override
	{
		if (!_access.write) return Error::DENIED;
		return _file->write(job, from, io);
	}
	Task<size_t> control(Job &job, Control control) override
	{
		return _file->control(job, control);
	}
	Task<void> read_directory(Job &job, uint64_t from_cookie, Entry_sink &sink) override
	{
		if (!_access.read) return Error::DENIED;
		return _file->read_directory(job, from_cookie, sink);
	}
	Task<void> sync(Job &job) override { return _file->sync(job); }
	Readiness readiness() override { return _file->readiness(); }
	Attempt<void> watch(Watcher &watcher) override { return _file->watch(watcher); }
	Task<void> close(Job &job) override { return _file->close(job); }
};

unsigned rights_of(Access access)
{
	return (access.read ? unsigned{READ} : 0) | (access.write ? unsigned{WRITE} : 0);
}

} // namespace

Attempt<Tree> Tree::create(Allocator &allocator, Calendar const &calendar)
{
	auto root = Static_directory::create(allocator, calendar);
	if (!root.ok()) return root.error();
	return Tree(allocator, std::move(root).value());
}

Attempt<void> Tree::attach(std::string_view path, Ref<Node> node)
{
	Static_directory *const root = _root->static_directory();
	std::string_view rest = without_slashes(path);
	if (path.empty() || path.find('\0') != path.npos) return Error::INVALID;
	if (rest.empty()) {
		if (!root || !root->empty()) return Error::EXISTS;
		if (node->type() != Type::DIRECTORY) return Error::NOT_A_DIRECTORY;
		_root = std::move(node);
		return Ok{};
	}
	if (!root) return Error::NOT_A_DIRECTORY;
	Ref<Static_directory> at(*root);
	for (;;) {
		std::string_view const component = component_of(rest);
		rest = without_slashes(rest.substr(component.size()));
		if (rest.empty()) return at->attach(component, std::move(node));
		auto below = at->subdirectory(component);
		if (!below.ok()) return below.error();
		at = std::move(below).value();
	}
}

Attempt<void> Tree::detach(std::string_view path)
{
	Ref<Node> at = _root;
	std::string_view rest = without_slashes(path);
	for (;;) {
		Static_directory *const directory = at->static_directory();
		std::string_view const component = component_of(rest);
		rest = without_slashes(rest.substr(component.size()));
		if (!directory) return Error::NOT_FOUND;
		if (rest.empty()) return directory->detach(component);
		Node *const below = directory->find(component);
		if (!below) return Error::NOT_FOUND;
		at = Ref<Node>(*below);
	}
}

Task<Ref<Node>> Tree::resolve(Job &job, Credentials const &who, std::string_view path, Last last)
{
	CO_TRY_ASSIGN(Owned<Walk> walk, begin_walk(*_allocator, who, *_root, path));
	CO_TRY(co_await walk->to_end(job, last));
	co_return std::move(walk->at);
}

Task<Ref<File>> Tree::open(Job &job, Credentials const &who, std::string_view path, Access access)
{
	if (access.truncate && !access.write) co_return Error::INVALID;
	if (access.append) access.write = true;
	CO_TRY_ASSIGN(Owned<Walk> walk, begin_walk(*_allocator, who, *_root, path));
	CO_TRY(co_await walk->to_end(job, Last::FOLLOW));
	if (access.write && walk->at->type() == Type::DIRECTORY) co_return Error::IS_A_DIRECTORY;
	if (who.uid != 0) CO_TRY(co_await walk->check(job, rights_of(access)));
	CO_TRY_ASSIGN(Ref<File> file, co_await walk->at->open(job, who, access));
	if (access.read && access.write) co_return file;
	CO_TRY_ASSIGN(
		Ref<File> limited, create_counted<Limited_file>(*_allocator, std::move(file), access));
	co_return limited;
}

Task<Stat> Tree::stat(Job &job, Credentials const &who, std::string_view path, Last last)
{
	CO_TRY_ASSIGN(Ref<Node> const node, co_await resolve(job, who, path, last));
	co_return co_await node->stat(job);
}

Task<void> Tree::change(
	Job &job, Credentials const &who, std::string_view path, Changes const &changes)
{
	CO_TRY_ASSIGN(Ref<Node> const node, co_await resolve(job, who, path));
	if (who.uid != 0) {
		CO_TRY_ASSIGN(Stat const stat, co_await node->stat(job));
		bool const others = changes.mode || changes.accessed_ns || changes.modified_ns;
		if (others && who.uid != stat.uid) co_return Error::DENIED;
		if (changes.uid && (*changes.uid != stat.uid || who.uid != stat.uid))
			co_return Error::DENIED;
		// An owner may give his file to his own group.
		if (changes.gid &&
			(who.uid != stat.uid || (*changes.gid != stat.gid && *changes.gid != who.gid)))
			co_return Error::DENIED;
		if (changes.size && !permitted(stat, who, WRITE)) co_return Error::DENIED;
	}
	if (changes.size && node->type() == Type::DIRECTORY) co_return Error::IS_A_DIRECTORY;
	co_return co_await node->change(job, changes);
}

Task<Ref<Node>> Tree::create(
	Job &job, Credentials const &who, std::string_view path, New_node const &node)
{
	CO_TRY_ASSIGN(Owned<Walk> walk, begin_walk(*_allocator, who, *_root, path));
	CO_TRY(co_await to_changeable_parent(job, *walk, Error::EXISTS));
	if (walk->must_be_directory && node.type != Type::DIRECTORY) co_return Error::IS_A_DIRECTORY;
	co_return co_await walk->at->create(job, who, walk->name, node);
}

Task<void> Tree::link(
	Job &job, Credentials const &who, std::string_view path, std::string_view new_path)
{
	CO_TRY_ASSIGN(Ref<Node> const node, co_await resolve(job, who, path, Last::KEEP));
	CO_TRY_ASSIGN(Owned<Walk> walk, begin_walk(*_allocator, who, *_root, new_path));
	CO_TRY(co_await to_changeable_parent(job, *walk, Error::EXISTS));
	if (walk->must_be_directory) co_return Error::NOT_A_DIRECTORY;
	co_return co_await walk->at->link(job, walk->name, *node);
}

Task<void> Tree::remove(Job &job, Credentials const &who, std::string_view path, bool directory)
{
	CO_TRY_ASSIGN(Owned<Walk> walk, begin_walk(*_allocator, who, *_root, path));
	CO_TRY_ASSIGN(Stat const parent, co_await to_changeable_parent(job, *walk, Error::INVALID));
	CO_TRY_ASSIGN(Ref<Node> const node, co_await removable(job, *walk, parent, who));
	if (walk->must_be_directory && node->type() != Type::DIRECTORY)
		co_return Error::NOT_A_DIRECTORY;
	co_return co_await walk->at->remove(job, walk->name, directory);
}

Task<void> Tree::rename(
	Job &job, Credentials const &who, std::string_view from, std::string_view to, Rename how)
{
	CO_TRY_ASSIGN(Owned<Walk> source, begin_walk(*_allocator, who, *_root, from));
	CO_TRY_ASSIGN(Owned<Walk> target, begin_walk(*_allocator, who, *_root, to));
	CO_TRY_ASSIGN(Stat const parent, co_await to_changeable_parent(job, *source, Error::INVALID));
	CO_TRY_ASSIGN(Stat const goal, co_await to_changeable_parent(job, *target, Error::INVALID));
	if (source->at->instance() != target->at->instance()) co_return Error::CROSS_DEVICE;
	CO_TRY_ASSIGN(Ref<Node> const node, co_await removable(job, *source, parent, who));
	bool const as_directory = source->must_be_directory || target->must_be_directory;
	if (as_directory && node->type() != Type::DIRECTORY) co_return Error::NOT_A_DIRECTORY;
	auto const replaced = co_await removable(job, *target, goal, who);
	if (!replaced.ok() && replaced.error() != Error::NOT_FOUND) co_return replaced.error();
	co_return co_await source->at->rename(job, source->name, *target->at, target->name, how);
}

Task<size_t> Tree::read_link(
	Job &job, Credentials const &who, std::string_view path, std::span<char> to)
{
	CO_TRY_ASSIGN(Ref<Node> const node, co_await resolve(job, who, path, Last::KEEP));
	co_return co_await node->read_link(job, to);
}

} // namespace bulkhead::vfs
