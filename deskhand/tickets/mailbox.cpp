// Mails as tickets: an mbox file, one .eml, or a folder of them (a Maildir too). A thread is a row; its mails are its activities, as JSON
// in the column "messages". Mails belong together by their ids, by a ticket's number in the subject, or, where a reply names no id, by the
// subject alone. The file is read twice: headers first, then thread after thread.
#include <algorithm>
#include <fstream>
#include <map>
#include <numeric>
#include <unordered_map>

#include "deskhand/base/error.h"
#include "deskhand/base/interrupt.h"
#include "deskhand/base/json.h"
#include "deskhand/base/mapped_file.h"
#include "deskhand/tickets/date.h"
#include "deskhand/tickets/mail.h"
#include "deskhand/tickets/table.h"

namespace deskhand {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kMostMails = 20'000'000;

struct Place {  // of a mail
  std::size_t file = 0, begin = 0, size = 0;
};

// Sets of mails that belong together.
class Threads {
 public:
  std::size_t add() {
    parent_.push_back(parent_.size());
    return parent_.size() - 1;
  }
  std::size_t root(std::size_t mail) {
    while (parent_[mail] != mail) mail = parent_[mail] = parent_[parent_[mail]];
    return mail;
  }
  void unite(std::size_t a, std::size_t b) {
    a = root(a), b = root(b);
    parent_[std::max(a, b)] = std::min(a, b);
  }

 private:
  std::vector<std::size_t> parent_;
};

class MailReader final : public TableReader {
 public:
  MailReader(const fs::path& path, const TableOptions& options)
      : TableReader(path), limits_(options.limits), header_{"id", "subject", "from", "to", "date", "text", "attachments", "messages"} {
    std::error_code fault;
    is_folder_ = fs::is_directory(path, fault);
    if (is_folder_) {
      for (const auto& entry : fs::recursive_directory_iterator(path, fs::directory_options::skip_permission_denied)) {
        const auto& file = entry.path();
        const auto folder = file.parent_path().filename();
        if (entry.is_regular_file() && (file.extension() == ".eml" || file.extension() == ".EML" || folder == "cur" || folder == "new"))
          files_.push_back(file);
        if (files_.size() > kMostMails) throw Error(ExitCode::kTooLarge, "{}: more than {} mails", path.string(), kMostMails);
      }
      if (files_.empty()) throw Error(ExitCode::kBadInput, "{}: the folder holds no .eml file", path.string());
      std::sort(files_.begin(), files_.end());
    } else {
      files_.push_back(path);
    }
    find_mails();
    group();
  }

  const std::vector<std::string>& header() const override { return header_; }

  bool next(Row& row) override {
    if (next_ >= threads_.size()) return false;
    const auto& thread = threads_[next_++];
    row.number = static_cast<std::int64_t>(next_);
    row.cells.assign(header_.size(), {});
    Json messages = Json::array();
    int attachments = 0;
    std::size_t bytes = 0;
    for (std::size_t i = 0; i < thread.size(); ++i) {
      const auto& place = places_[thread[i]];
      const auto mail = read_mail(bytes_of(place), static_cast<std::size_t>(limits_.cell_bytes));
      attachments += mail.attachments;
      if (i == 0) {
        row.cells[0] = ids_[next_ - 1];
        row.cells[1] = mail.subject;
        row.cells[2] = mail.from;
        row.cells[3] = mail.to;
        row.cells[4] = local_date(mail.date);
        row.cells[5] = mail.text;
      }
      bytes += mail.text.size();
      if (bytes > 4 * static_cast<std::size_t>(limits_.cell_bytes)) continue;  // a thread of megabytes keeps its first mails
      messages.push_back({{"id", mail.id},
                          {"date", local_date(mail.date)},
                          {"from", mail.from},
                          {"to", mail.to},
                          {"subject", mail.subject},
                          {"text", mail.text}});
    }
    row.cells[6] = std::to_string(attachments);
    row.cells[7] = write_json(messages);
    return true;
  }

  std::string description() const override {
    return fmt::format("{}, {} mails in {} threads",
                       is_folder_            ? "folder of mails"
                       : places_.size() == 1 ? "mail"
                                             : "mbox",
                       places_.size(), threads_.size());
  }
  double share_read() const override { return threads_.empty() ? 1 : static_cast<double>(next_) / static_cast<double>(threads_.size()); }

 private:
  std::string_view bytes_of(const Place& place) {
    if (!mapped_ || mapped_number_ != place.file) {
      mapped_.reset();
      mapped_ = std::make_unique<MappedFile>(files_[place.file]);
      mapped_number_ = place.file;
    }
    const auto bytes = mapped_->bytes();
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    return text.substr(std::min(place.begin, text.size()), place.size);
  }

  void find_mails() {
    for (std::size_t file = 0; file < files_.size(); ++file) {
      check_interrupt();
      const auto text = bytes_of({.file = file, .size = std::string_view::npos});
      if (!text.starts_with("From ")) {
        if (!text.empty()) places_.push_back({file, 0, text.size()});
        continue;
      }
      std::size_t begin = text.find('\n') + 1;  // npos + 1 is 0: a line alone
      if (begin == 0) continue;
      for (;;) {
        auto mark = text.find("\nFrom ", begin - 1);
        while (mark != text.npos && !ends_paragraph(text, mark)) mark = text.find("\nFrom ", mark + 1);
        const auto end = mark == text.npos ? text.size() : mark + 1;
        places_.push_back({file, begin, end - begin});
        if (places_.size() > kMostMails) throw Error(ExitCode::kTooLarge, "{}: more than {} mails", path_.string(), kMostMails);
        if (mark == text.npos) break;
        begin = std::min(text.find('\n', end), text.size() - 1) + 1;
        if (begin >= text.size()) break;
      }
    }
  }

  // A "From " line begins a mail only behind an empty line; elsewhere somebody wrote the word.
  static bool ends_paragraph(std::string_view text, std::size_t mark) {
    return mark == 0 || text[mark - 1] == '\n' || (text[mark - 1] == '\r' && mark > 1 && text[mark - 2] == '\n');
  }

  void group() {
    Threads threads;
    std::unordered_map<std::string, std::size_t> by_id, by_number, by_subject;
    std::vector<std::string> dates, numbers, ids;
    for (const auto& place : places_) {
      check_interrupt();
      const auto mail = read_mail_headers(bytes_of(place));
      const auto self = threads.add();
      const auto join = [&](auto& map, const std::string& key) {
        const auto [found, is_new] = map.try_emplace(key, self);
        if (!is_new) threads.unite(self, found->second);
      };
      if (!mail.id.empty()) join(by_id, mail.id);
      for (const auto& id : mail.refers) join(by_id, id);
      const auto number = ticket_number_in(mail.subject);
      if (!number.empty()) join(by_number, number);
      bool is_reply = false;
      const auto subject = bare_subject(mail.subject, is_reply);
      if (subject.size() >= 8) {
        const auto found = by_subject.find(subject);
        if (is_reply && mail.refers.empty() && number.empty() && found != by_subject.end()) threads.unite(self, found->second);
        by_subject[subject] = self;
      }
      dates.push_back(mail.date);
      numbers.push_back(number);
      ids.push_back(mail.id);
    }
    std::map<std::size_t, std::vector<std::size_t>> by_root;
    for (std::size_t mail = 0; mail < places_.size(); ++mail) by_root[threads.root(mail)].push_back(mail);
    std::unordered_map<std::string, int> used;
    for (auto& [root, mails] : by_root) {
      std::stable_sort(mails.begin(), mails.end(), [&](std::size_t a, std::size_t b) {
        if (dates[a].empty() != dates[b].empty()) return dates[b].empty();
        return moment_of(dates[a]) < moment_of(dates[b]);
      });
      std::string id;
      for (const auto mail : mails)
        if (id.empty()) id = numbers[mail];
      if (id.empty()) id = ids[mails.front()];
      if (id.empty()) {
        const auto& place = places_[mails.front()];
        id = is_folder_ ? files_[place.file].stem().string() : fmt::format("{}:{}", path_.stem().string(), mails.front() + 1);
      }
      if (const int again = ++used[id]; again > 1) id += fmt::format(" ({})", again);
      ids_.push_back(std::move(id));
      threads_.push_back(std::move(mails));
    }
  }

  TableLimits limits_;
  std::vector<std::string> header_;
  bool is_folder_ = false;
  std::vector<fs::path> files_;
  std::unique_ptr<MappedFile> mapped_;
  std::size_t mapped_number_ = 0;
  std::vector<Place> places_;
  std::vector<std::vector<std::size_t>> threads_;  // indices into places_, by date
  std::vector<std::string> ids_;                   // of the threads
  std::size_t next_ = 0;
};

}  // namespace

std::unique_ptr<TableReader> open_mails(const std::filesystem::path& path, const TableOptions& options) {
  return std::make_unique<MailReader>(path, options);
}

bool is_mail(std::string_view start) {
  if (start.starts_with("From ")) start.remove_prefix(std::min(start.find('\n'), start.size() - 1) + 1);
  int known = 0;
  for (std::size_t at = 0; at < std::min<std::size_t>(start.size(), 1 << 16);) {
    const auto end = std::min(start.find('\n', at), start.size());
    auto line = start.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) break;
    at = end + 1;
    if (line.front() == ' ' || line.front() == '\t') continue;
    const auto colon = line.find(':');
    if (colon == line.npos || colon == 0 || line.substr(0, colon).find_first_of(" ,;\t\"|") != line.npos) return false;
    std::string name(line.substr(0, colon));
    for (char& c : name) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c | 0x20) : c;
    known += name == "from" || name == "date" || name == "subject" || name == "message-id" || name == "received" || name == "to" ||
             name == "mime-version" || name == "return-path";
  }
  return known >= 2;
}

}  // namespace deskhand
