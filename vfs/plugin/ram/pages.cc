#include "vfs/plugin/ram/pages.h"

namespace bulkhead::vfs {

template <typename T>
T *Pages::_make()
{
	auto made = create<T>(_allocator);
	if (!made.ok()) return nullptr;
	_used += sizeof(T);
	return &made.value();
}

template <typename T>
void Pages::_free(void *object)
{
	destroy(_allocator, *static_cast<T *>(object));
	_budget.give(sizeof(T));
	_used -= sizeof(T);
}

Attempt<uint8_t *> Pages::_find_or_make(uint64_t page)
{
	auto const make = [this]<typename T>(T *) -> Attempt<void *> {
		if (!_budget.take(sizeof(T))) return Error::NO_SPACE;
		if (T *const made = _make<T>()) return static_cast<void *>(made);
		_budget.give(sizeof(T));
		return Error::OUT_OF_MEMORY;
	};
	while (page >> (FAN_BITS * _height)) {
		if (_root) {
			void *const index = TRY(make(static_cast<Index *>(nullptr)));
			static_cast<Index *>(index)->slot[0] = _root;
			_root = index;
		}
		++_height;
	}
	void **slot = &_root;
	for (unsigned level = _height; level; --level) {
		if (!*slot) *slot = TRY(make(static_cast<Index *>(nullptr)));
		slot = &static_cast<Index *>(*slot)->slot[_slot_of(page, level)];
	}
	if (!*slot) *slot = TRY(make(static_cast<Page *>(nullptr)));
	return static_cast<uint8_t *>(*slot);
}

void Pages::_read_pages(uint64_t offset, Mutable_bytes to) const
{
	while (!to.empty()) {
		size_t const n = std::min(to.size(), PAGE_BYTES - offset % PAGE_BYTES);
		read(offset, to.first(n));
		offset += n;
		to = to.subspan(n);
	}
}

Attempt<size_t> Pages::_write_pages(uint64_t offset, Bytes from)
{
	size_t done = 0;
	while (done < from.size()) {
		uint64_t const at = offset + done;
		size_t const in_page = at % PAGE_BYTES;
		size_t const n = std::min(from.size() - done, PAGE_BYTES - in_page);
		auto page = _find_or_make(at / PAGE_BYTES);
		if (!page.ok()) {
			if (done) break;
			return page.error();
		}
		copy_bytes({page.value() + in_page, n}, from.subspan(done, n));
		done += n;
	}
	return done;
}

/* Frees what is below a slot and holds only pages from the `first` one on. */
void Pages::_cut(void *&slot, unsigned level, uint64_t first)
{
	if (!slot) return;
	if (level == 0) {
		if (first == 0) {
			_free<Page>(slot);
			slot = nullptr;
		}
		return;
	}
	Index &index = *static_cast<Index *>(slot);
	unsigned const shift = FAN_BITS * (level - 1);
	uint64_t const first_slot = first >> shift;
	bool empty = true;
	for (size_t i = 0; i < FAN; ++i) {
		uint64_t const below = i == first_slot ? first - (first_slot << shift) : 0;
		if (i >= first_slot) _cut(index.slot[i], level - 1, below);
		empty = empty && !index.slot[i];
	}
	if (!empty) return;
	_free<Index>(slot);
	slot = nullptr;
}

void Pages::cut(uint64_t size)
{
	size_t const in_page = size % PAGE_BYTES;
	uint64_t const page = size / PAGE_BYTES;
	_cut(_root, _height, page + (in_page != 0));
	if (!_root) _height = 0;
	if (in_page == 0) return;
	if (uint8_t *const last = _find(page)) fill_bytes({last + in_page, PAGE_BYTES - in_page}, 0);
}

} // namespace bulkhead::vfs
