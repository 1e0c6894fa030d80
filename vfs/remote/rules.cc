#include "vfs/remote/rules.h"

#include "vfs/name.h"

#include <fnmatch.h>
#include <map>
#include <new>

namespace bulkhead::remote {

namespace {

using Path = std::vector<std::string>;

/* How much of a node is seen: all, or what patterns say that have matched so far. */
struct Sight
{
	bool whole = false;
	uint64_t patterns = 0; // those of which the first `depth` names have matched
	unsigned depth = 0;

	bool any() const { return whole || patterns != 0; }
	auto operator<=>(Sight const &) const = default;
};

class Seen_node;

class View final : public Counted
{
private:
	friend class Seen_node;

	bool const _read_only;
	std::vector<Path> const _paths;
	std::map<std::pair<vfs::Node *, Sight>, Seen_node *> _nodes{};

	void unreferenced() override { delete this; }

public:
	View(bool read_only, std::vector<Path> paths) : _read_only(read_only), _paths(std::move(paths))
	{}

	bool read_only() const { return _read_only; }

	Sight root_sight() const
	{
		if (_paths.empty()) return {.whole = true};
		return {.patterns = ~uint64_t{0} >> (NODES_MAX - _paths.size())};
	}

	/* Of an entry. */
	Sight look(Sight const &directory, std::string_view name) const
	{
		if (directory.whole) return directory;
		std::string const text(name);
		Sight result{.depth = directory.depth + 1};
		for (size_t i = 0; i < _paths.size(); ++i) {
			uint64_t const bit = uint64_t{1} << i;
			if (!(directory.patterns & bit)) continue;
			Path const &path = _paths[i];
			if (fnmatch(path[directory.depth].c_str(), text.c_str(), 0) != 0) continue;
			if (path.size() == result.depth) return {.whole = true};
			result.patterns |= bit;
		}
		return result;
	}

	Attempt<Ref<vfs::Node>> show(Ref<vfs::Node> node, Sight sight);
};

/* Tells of a directory's entries those that are seen. */
class Seen_entries final : public vfs::Entry_sink
{
private:
	View const &_view;
	Sight const _directory;
	vfs::Entry_sink &_sink;

public:
	Seen_entries(View const &view, Sight directory, vfs::Entry_sink &sink)
		: _view(view), _directory(directory), _sink(sink)
	{}

	bool entry(std::string_view name, vfs::Type type, uint64_t inode, uint64_t next) override
	{
		Sight const sight = _view.look(_directory, name);
		if (!sight.whole && !(sight.any() && type == vfs::Type::DIRECTORY)) return true;
		return _sink.entry(name, type, inode, next);
	}
};

class Seen_file final : public vfs::File
{
private:
	Ref<View> const _view;
	Sight const _sight;
	Ref<vfs::File> const _file;

	void unreferenced() override { delete this; }

	static constexpr bool _only_reads(uint32_t command) { return command >> 30 == 2; }

	Task<void> _list(Job &job, uint64_t cookie, vfs::Entry_sink &sink)
	{
		Seen_entries seen(*_view, _sight, sink);
		co_return co_await _file->read_directory(job, cookie, seen);
	}

public:
	Seen_file(Ref<View> view, Sight sight, Ref<vfs::File> file)
		: _view(std::move(view)), _sight(sight), _file(std::move(file))
	{}

	Task<size_t> read(Job &job, Mutable_bytes to, Io io) override
	{
		return _file->read(job, to, io);
	}
	Task<size_t> write(Job &job, Bytes from, Io io) override
	{
		if (_view->read_only()) return Error::READ_ONLY;
		return _file->write(job, from, io);
	}
	Task<size_t> control(Job &job, vfs::Control control) override
	{
		if (_view->read_only() && !_only_reads(control.command)) return Error::DENIED;
		return _file->control(job, control);
	}
	Task<void> read_directory(Job &job, uint64_t cookie, vfs::Entry_sink &sink) override
	{
		return _list(job, cookie, sink);
	}
	Task<void> sync(Job &job) override { return _file->sync(job); }
	Readiness readiness() override { return _file->readiness(); }
	Attempt<void> watch(Watcher &watcher) override { return _file->watch(watcher); }
	Task<void> close(Job &job) override { return _file->close(job); }
};

class Seen_node final : public vfs::Node
{
private:
	Ref<View> const _view;
	Sight const _sight;
	Ref<vfs::Node> const _node;

	void unreferenced() override
	{
		_view->_nodes.erase({_node.pointer(), _sight});
		delete this;
	}

	/* Whether entries of this name may be made, removed or moved. */
	Attempt<void> _may_change(std::string_view name) const
	{
		if (_view->read_only()) return Error::READ_ONLY;
		if (!_view->look(_sight, name).whole) return Error::DENIED;
		return Ok{};
	}

	/* A node that was handed to an operation as the one of the tree; null: it is of no use here. */
	Seen_node *_peer(Node &node) const
	{
		return node.instance() == _view.pointer() ? static_cast<Seen_node *>(&node) : nullptr;
	}

	Task<Ref<Node>> _lookup(Job &job, std::string_view name, Sight sight)
	{
		CO_TRY_ASSIGN(Ref<Node> found, co_await _node->lookup(job, name));
		// What only leads on to something must be able to.
		if (!sight.whole && found->type() != vfs::Type::DIRECTORY) co_return Error::NOT_FOUND;
		co_return _view->show(std::move(found), sight);
	}

	Task<Ref<Node>> _create(
		Job &job, Credentials const &who, std::string_view name, vfs::New_node const &wanted)
	{
		CO_TRY_ASSIGN(Ref<Node> made, co_await _node->create(job, who, name, wanted));
		co_return _view->show(std::move(made), {.whole = true});
	}

	Task<Ref<vfs::File>> _open(Job &job, Credentials const &who, vfs::Access access)
	{
		CO_TRY_ASSIGN(Ref<vfs::File> file, co_await _node->open(job, who, access));
		if (_sight.whole && !_view->read_only()) co_return file;
		auto *const seen = new (std::nothrow) Seen_file(_view, _sight, file);
		if (seen) co_return Ref<vfs::File>(*seen);
		(void)co_await file->close(job);
		co_return Error::OUT_OF_MEMORY;
	}

public:
	Seen_node(Ref<View> view, Sight sight, Ref<vfs::Node> node)
		: _view(std::move(view)), _sight(sight), _node(std::move(node))
	{}

	vfs::Type type() const override { return _node->type(); }
	void const *instance() const override { return _view.pointer(); }
	vfs::Static_directory *static_directory() override { return _node->static_directory(); }

	Task<vfs::Stat> stat(Job &job) override { return _node->stat(job); }
	Task<void> change(Job &job, vfs::Changes const &changes) override
	{
		if (_view->read_only()) return Error::READ_ONLY;
		if (!_sight.whole) return Error::DENIED;
		return _node->change(job, changes);
	}
	Task<vfs::Space> space(Job &job) override { return _node->space(job); }

	Task<Ref<vfs::File>> open(Job &job, Credentials const &who, vfs::Access access) override
	{
		bool const changes = access.write || access.append || access.truncate;
		if (changes && _view->read_only()) return Error::READ_ONLY;
		return _open(job, who, access);
	}
	Task<size_t> read_link(Job &job, std::span<char> to) override
	{
		return _node->read_link(job, to);
	}

	Task<Ref<Node>> lookup(Job &job, std::string_view name) override
	{
		Sight const sight = _view->look(_sight, name);
		if (!sight.any()) return Error::NOT_FOUND;
		return _lookup(job, name, sight);
	}
	Task<Ref<Node>> create(Job &job, Credentials const &who, std::string_view name,
		vfs::New_node const &wanted) override
	{
		Attempt<void> const allowed = _may_change(name);
		if (!allowed.ok()) return allowed.error();
		return _create(job, who, name, wanted);
	}
	Task<void> link(Job &job, std::string_view name, Node &node) override
	{
		Attempt<void> const allowed = _may_change(name);
		if (!allowed.ok()) return allowed.error();
		Seen_node *const seen = _peer(node);
		if (!seen) return Error::CROSS_DEVICE;
		if (!seen->_sight.whole) return Error::DENIED;
		return _node->link(job, name, *seen->_node);
	}
	Task<void> remove(Job &job, std::string_view name, bool directory) override
	{
		Attempt<void> const allowed = _may_change(name);
		if (!allowed.ok()) return allowed.error();
		return _node->remove(job, name, directory);
	}
	Task<void> rename(Job &job, std::string_view name, Node &to, std::string_view new_name,
		vfs::Rename how) override
	{
		Attempt<void> const leaves = _may_change(name);
		if (!leaves.ok()) return leaves.error();
		Seen_node *const seen = _peer(to);
		if (!seen) return Error::CROSS_DEVICE;
		Attempt<void> const arrives = seen->_may_change(new_name);
		if (!arrives.ok()) return arrives.error();
		return _node->rename(job, name, *seen->_node, new_name, how);
	}
	Attempt<void> watch(Watcher &watcher) override { return _node->watch(watcher); }
	uint32_t cache_us() const override { return _node->cache_us(); }
};

Attempt<Ref<vfs::Node>> View::show(Ref<vfs::Node> node, Sight sight)
{
	Seen_node *&known = _nodes[{node.pointer(), sight}];
	if (!known) known = new (std::nothrow) Seen_node(Ref(*this), sight, node);
	if (known) return Ref<vfs::Node>(*known);
	_nodes.erase({node.pointer(), sight});
	return Error::OUT_OF_MEMORY;
}

/* The names of a path. Error: INVALID. */
Attempt<Path> split(std::string_view text)
{
	Path path;
	while (!text.empty()) {
		size_t const end = std::min(text.find('/'), text.size());
		std::string_view const name = text.substr(0, end);
		text.remove_prefix(std::min(end + 1, text.size()));
		if (name.empty() || name == ".") continue;
		if (name.size() > vfs::NAME_MAX_BYTES || !vfs::valid_name(name)) return Error::INVALID;
		path.emplace_back(name);
	}
	if (path.empty()) return Error::INVALID;
	return path;
}

} // namespace

Attempt<Ref<vfs::Node>> restricted(Ref<vfs::Node> root, Rules const &rules)
{
	if (rules.nodes.size() > NODES_MAX) return Error::INVALID;
	std::vector<Path> paths;
	for (std::string const &text : rules.nodes) paths.push_back(TRY(split(text)));
	auto *const view = new (std::nothrow) View(rules.read_only, std::move(paths));
	if (!view) return Error::OUT_OF_MEMORY;
	Ref<View> const owner(*view);
	return view->show(std::move(root), view->root_sight());
}

} // namespace bulkhead::remote
