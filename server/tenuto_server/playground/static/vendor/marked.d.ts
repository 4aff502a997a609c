export class Marked {
  constructor(options: object);
  parse(text: string): string;
}
