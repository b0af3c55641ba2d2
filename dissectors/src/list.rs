//! Lists of things that each say how long they are.

/// Goes through such a list: every good thing before a bad one, then at most one error.
///
/// The list has the octets that were not read yet in `rest`, and a method `step` that reads one
/// thing where there are any.
macro_rules! until_error {
    ($list:ident gives $item:ident) => {
        impl<'a> Iterator for $list<'a> {
            type Item = Result<$item<'a>, ParseError>;

            fn next(&mut self) -> Option<Self::Item> {
                if self.rest.is_empty() {
                    return None;
                }
                let item = self.step();
                if item.is_err() {
                    self.rest = &[];
                }
                Some(item)
            }
        }
    };
}
