#pragma once

// The nodes of a file system in memory.

#include "vfs/plugin/ram/pages.h"
#include "vfs/plugin/ram/volume.h"

namespace bulkhead::vfs {

/* The largest size of a file and the end of all offsets, in bytes. */
inline constexpr uint64_t RAM_SIZE_MAX = (uint64_t{1} << 63) - 1;

class Ram_node : public Node
{
private:
	friend class Ram_volume;

	Ram_node *_next_dead = nullptr;

protected:
	Ref<Ram_volume> _volume;
	Stat _stat;
	Watchers _watchers{};

	Ram_node(Ref<Ram_volume> volume, Type type, Ownership const &);
	~Ram_node() { _volume->nodes.give(1); }

	void unreferenced() final
	{
		Ref<Ram_volume> const volume = _volume;
		volume->bury(*this);
	}

	/* Frees the node by its own type. */
	virtual void destroy_self(Allocator &) = 0;

	/* Takes one node of the volume's limit and makes one. Errors: NO_SPACE, OUT_OF_MEMORY. */
	template <typename T, typename... ARGS>
	static Attempt<Ref<T>> make(Ram_volume &volume, ARGS &&...args)
	{
		if (!volume.nodes.take(1)) return Error::NO_SPACE;
		auto object = bulkhead::create<T>(
			volume.allocator, Ref<Ram_volume>(volume), std::forward<ARGS>(args)...);
		if (object.ok()) return Ref<T>(object.value());
		volume.nodes.give(1);
		return object.error();
	}

public:
	/* Something but the content has changed, e.g. the number of links. */
	void attributes_changed()
	{
		_stat.changed_ns = _volume->calendar.now_ns();
		_watchers.notify();
	}
	void content_changed()
	{
		_stat.modified_ns = _stat.changed_ns = _volume->calendar.now_ns();
		if (!_watchers.empty()) _watchers.notify();
	}

	uint32_t &links() { return _stat.links; }
	uint64_t inode() const { return _stat.inode; }

	Type type() const final { return _stat.type; }
	void const *instance() const final { return _volume.pointer(); }
	Task<Stat> stat(Job &) override { return _stat; }
	Task<void> change(Job &, Changes const &) override;
	Task<Space> space(Job &) final;
	Attempt<void> watch(Watcher &watcher) final
	{
		_watchers.add(watcher);
		return Ok{};
	}
	uint32_t cache_us() const final { return 1'000'000; }
};

class Ram_file final : public Ram_node
{
private:
	Pages _pages;

protected:
	void destroy_self(Allocator &allocator) override { destroy(allocator, *this); }

public:
	Ram_file(Ref<Ram_volume> volume, Ownership const &ownership)
		: Ram_node(std::move(volume), Type::FILE, ownership),
		  _pages(_volume->allocator, _volume->bytes)
	{}

	static Attempt<Ref<Ram_file>> create(Ram_volume &volume, Ownership const &ownership)
	{
		return make<Ram_file>(volume, ownership);
	}

	uint64_t size() const { return _stat.size; }

	/* As File::read and File::write. */
	size_t read(uint64_t offset, Mutable_bytes to)
	{
		if (offset >= _stat.size) return 0;
		size_t const n = std::min<uint64_t>(to.size(), _stat.size - offset);
		_pages.read(offset, to.first(n));
		// Whether a file was read since it was changed is all that is asked of this time.
		if (_stat.accessed_ns <= _stat.modified_ns) _stat.accessed_ns = _volume->calendar.now_ns();
		return n;
	}
	Attempt<size_t> write(uint64_t offset, Bytes from)
	{
		if (from.empty()) return size_t{0};
		if (offset >= RAM_SIZE_MAX) return Error::RANGE;
		size_t const n = std::min<uint64_t>(from.size(), RAM_SIZE_MAX - offset);
		auto const written = _pages.write(offset, from.first(n));
		if (!written.ok()) return written.error();
		_stat.size = std::max(_stat.size, offset + written.value());
		content_changed();
		return written.value();
	}

	/* Cuts or extends with a hole. Error: RANGE. */
	Attempt<void> resize(uint64_t size);

	Task<Stat> stat(Job &) override;
	Task<void> change(Job &, Changes const &) override;
	Task<Ref<File>> open(Job &, Credentials const &, Access) override;
};

class Ram_link final : public Ram_node
{
private:
	std::span<char> _target{};

protected:
	void destroy_self(Allocator &allocator) override { destroy(allocator, *this); }

public:
	Ram_link(Ref<Ram_volume> volume, Ownership const &ownership)
		: Ram_node(std::move(volume), Type::SYMLINK, ownership)
	{}
	~Ram_link();

	static Attempt<Ref<Ram_link>> create(Ram_volume &, Ownership const &, std::string_view target);

	Task<size_t> read_link(Job &, std::span<char>) override;
};

class Ram_directory final : public Ram_node
{
private:
	Entries _entries;
	Ram_directory *_parent = nullptr; // null for the root and for what is removed
	bool _removed = false;

	Attempt<Entry &> _add(std::string_view, Ref<Ram_node>);
	Ref<Node> _take(Entry &);
	void _moved_in(Ram_node &);
	void _moved_out(Ram_node &);
	bool _within(Ram_node const &) const;
	Attempt<void> _move(Entry &, Ram_directory &, std::string_view);
	Attempt<void> _replace(Entry &, Ram_directory &, Entry &);
	Attempt<void> _exchange(Entry &, Ram_directory &, Entry *);
	Attempt<void> _rename(std::string_view, Ram_directory &, std::string_view, Rename);
	Attempt<Ref<Ram_node>> _make(Ownership const &, New_node const &);
	static void _unlink(Ram_node &);
	static Ram_node &_node_of(Entry const &entry) { return static_cast<Ram_node &>(*entry.node); }
	static Ram_directory *_directory_of(Entry const &);

protected:
	void destroy_self(Allocator &allocator) override { destroy(allocator, *this); }

public:
	Ram_directory(Ref<Ram_volume> volume, Ownership const &ownership)
		: Ram_node(std::move(volume), Type::DIRECTORY, ownership), _entries(_volume->allocator)
	{
		_stat.links = 2;
	}
	~Ram_directory();

	static Attempt<Ref<Ram_directory>> create(Ram_volume &volume, Ownership const &ownership)
	{
		return make<Ram_directory>(volume, ownership);
	}

	Task<Stat> stat(Job &) override;
	Task<Ref<File>> open(Job &, Credentials const &, Access) override;
	Task<Ref<Node>> lookup(Job &, std::string_view) override;
	Task<Ref<Node>> create(Job &, Credentials const &, std::string_view, New_node const &) override;
	Task<void> link(Job &, std::string_view, Node &) override;
	Task<void> remove(Job &, std::string_view, bool directory) override;
	Task<void> rename(Job &, std::string_view, Node &, std::string_view, Rename) override;
};

} // namespace bulkhead::vfs
